//! The public interface of this version, item by item, as `layer/interface.txt` keeps it: what is gone from it, or is
//! another now, breaks users, and wants a new version (Semantic Versioning; of `0.y.z`, a new `y`).
//!
//! Written as it stands in the sources. A bound that is looser, or a trait that is implemented by `derive`, is compared
//! as text, too: that is stricter than a compiler. What only follows from a type, such as `Send`, is not looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

/// Beside `Cargo.toml`: the version, and a line for each item.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interface.txt")
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| text(attribute).replace(' ', "") == "#[cfg(test)]")
}

fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

/// What a type promises by an attribute: that there may be more of it one day.
fn promises(attributes: &[Attribute]) -> &'static str {
    if attributes.iter().any(|one| one.path().is_ident("non_exhaustive")) { "and more" } else { "" }
}

/// One line for each trait.
fn derived(name: &str, attributes: &[Attribute], out: &mut BTreeSet<String>) {
    for derive in attributes.iter().filter(|one| one.path().is_ident("derive")) {
        let list = text(derive);
        let list = list.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        let traits = list.map_or("", |(inside, _)| inside).split(',').map(str::trim);
        out.extend(traits.filter(|one| !one.is_empty()).map(|one| format!("{name} derives {one}")));
    }
}

/// One line for each name.
fn used(place: &str, tree: &UseTree, out: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => used(&format!("{place} {} ::", path.ident), &path.tree, out),
        UseTree::Group(group) => group.items.iter().for_each(|one| used(place, one, out)),
        one => drop(out.insert(format!("{place} {}", text(one)))),
    }
}

fn fields(name: &str, fields: &Fields, out: &mut BTreeSet<String>) {
    let private = fields.iter().filter(|field| !is_public(&field.vis)).count();
    for (place, field) in fields.iter().enumerate().filter(|(_, field)| is_public(&field.vis)) {
        let field_name = field.ident.as_ref().map_or_else(|| place.to_string(), text);
        out.insert(format!("{name} . {field_name} : {}", text(&field.ty)));
    }
    // Whoever could write it down whole could not any more.
    if private == 0 {
        out.insert(format!("{name} has no other fields"));
    }
}

fn item(place: &str, item: &Item, out: &mut BTreeSet<String>) {
    let at = |name: &dyn std::fmt::Display| format!("{place} {name}");
    match item {
        Item::Fn(item) if is_public(&item.vis) => {
            out.insert(at(&text(&item.sig)));
        }
        Item::Struct(item) if is_public(&item.vis) => {
            let name = at(&format!("struct {} {}", item.ident, text(&item.generics)));
            out.insert(format!("{name} {}", promises(&item.attrs)));
            derived(&name, &item.attrs, out);
            fields(&name, &item.fields, out);
        }
        Item::Enum(item) if is_public(&item.vis) => {
            let name = at(&format!("enum {} {}", item.ident, text(&item.generics)));
            out.insert(format!("{name} {}", promises(&item.attrs)));
            derived(&name, &item.attrs, out);
            // Whoever matches all of them would not any more.
            if promises(&item.attrs).is_empty() {
                let all = item.variants.iter().map(|one| one.ident.to_string());
                out.insert(format!("{name} has only {}", all.collect::<Vec<_>>().join(", ")));
            }
            for variant in &item.variants {
                let mut variant = variant.clone();
                variant.attrs.clear();
                match &mut variant.fields {
                    Fields::Named(fields) => {
                        fields.named.iter_mut().for_each(|one| one.attrs.clear());
                    }
                    Fields::Unnamed(fields) => {
                        fields.unnamed.iter_mut().for_each(|one| one.attrs.clear());
                    }
                    Fields::Unit => {}
                }
                out.insert(format!("{name} :: {}", text(&variant)));
            }
        }
        Item::Trait(item) if is_public(&item.vis) => {
            let name = at(&format!("trait {} {}", item.ident, text(&item.generics)));
            out.insert(format!("{name} : {}", text(&item.supertraits)));
            let mut wanted = Vec::new();
            for member in &item.items {
                if let TraitItem::Fn(member) = member {
                    if member.default.is_none() {
                        wanted.push(member.sig.ident.to_string());
                    }
                    let given = if member.default.is_some() { "given" } else { "wanted" };
                    out.insert(format!("{name} {given} {}", text(&member.sig)));
                }
            }
            // Whoever implements it would not any more.
            out.insert(format!("{name} wants only {}", wanted.join(", ")));
        }
        Item::Impl(item) => implementation(place, item, out),
        Item::Const(item) if is_public(&item.vis) => {
            out.insert(at(&format!("const {} : {}", item.ident, text(&item.ty))));
        }
        Item::Type(item) if is_public(&item.vis) => {
            out.insert(at(&format!("type {} = {}", item.ident, text(&item.ty))));
        }
        Item::Use(item) if is_public(&item.vis) => {
            used(&at(&"use"), &item.tree, out);
        }
        Item::Mod(item) if is_public(&item.vis) => {
            out.insert(at(&format!("mod {}", item.ident)));
        }
        _ => {}
    }
}

fn implementation(place: &str, item: &syn::ItemImpl, out: &mut BTreeSet<String>) {
    let (generics, of) = (text(&item.generics), text(&item.self_ty));
    if let Some((path, _)) = &item.trait_ {
        out.insert(format!("{place} impl {generics} {} for {of}", text(path)));
        return;
    }
    for member in &item.items {
        match member {
            ImplItem::Fn(member) if is_public(&member.vis) && !is_for_tests(&member.attrs) => {
                out.insert(format!("{place} {of} {generics} {}", text(&member.sig)));
            }
            ImplItem::Const(member) if is_public(&member.vis) => {
                out.insert(format!("{place} {of} const {} : {}", member.ident, text(&member.ty)));
            }
            _ => {}
        }
    }
}

/// Every item that is `pub`. The workspace's lints see to it that what is `pub` can be reached.
fn interface(directory: &Path, out: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            interface(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let place = path.strip_prefix(root).unwrap().with_extension("");
            let place = place.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "::");
            let place = place.trim_end_matches("::mod").to_owned();
            let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
            if !is_for_tests(&file.attrs) {
                file.items.iter().for_each(|one| item(&place, one, out));
            }
        }
    }
}

/// What a version may not break: of `0.y.z` all with the same `y`, else all with the same first number.
fn promise(version: &str) -> String {
    let mut numbers = version.split('.');
    match (numbers.next(), numbers.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (major, _) => major.unwrap_or_default().to_owned(),
    }
}

/// `UPDATE_INTERFACE=1` writes it anew: for a new version, or for what is new in this one.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
#[test]
fn nothing_that_this_version_promises_is_gone() {
    let mut now = BTreeSet::new();
    interface(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut now);
    let version = env!("CARGO_PKG_VERSION");
    if std::env::var_os("UPDATE_INTERFACE").is_some() {
        let lines: Vec<&str> =
            std::iter::once(version).chain(now.iter().map(String::as_str)).collect();
        std::fs::write(kept(), lines.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(kept()).unwrap();
    let (before, promised) = text.split_once('\n').unwrap();
    assert_eq!(
        promise(before),
        promise(version),
        "a new version promises anew: run the tests once with UPDATE_INTERFACE=1"
    );
    let gone: Vec<&str> = promised.lines().filter(|line| !now.contains(*line)).collect();
    assert!(
        gone.is_empty(),
        "these are gone, or are others now, and {before} promised them:\n{}\nKeep them, or raise the version; where it was never released, run this with UPDATE_INTERFACE=1.",
        gone.join("\n")
    );
    assert!(now.len() > 100, "it was looked at");
}
