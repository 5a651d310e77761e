//! An authenticator in memory (`WebAuthn` Level 3 §6), together with the browser's part: makes passkeys, signs with them, and
//! does wrong whatever it is told to.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// §6.1: user present, user verified, attested credential data.
pub(crate) const PRESENT: u8 = 0x01;
pub(crate) const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// A passkey, and how it is used: every field can be made wrong.
pub(crate) struct SoftwarePasskey {
    pair: EcdsaKeyPair,
    pub(crate) id: Vec<u8>,
    pub(crate) handle: Option<Vec<u8>>,
    /// Of the next signature. 0: it does not count.
    pub(crate) count: u32,
    pub(crate) flags: u8,
    pub(crate) rp_id: String,
    pub(crate) origin: String,
    pub(crate) cross_origin: bool,
    pub(crate) client_type: Option<&'static str>,
    /// COSE's number of the algorithm that it claims.
    pub(crate) algorithm: i8,
}

/// What a page of ours asks for, from its `data-question`.
pub(crate) fn question(form: &str) -> Value {
    let (_, rest) = form.split_once("data-question=\"").expect(form);
    let text = rest.split('"').next().unwrap();
    let text = text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<");
    serde_json::from_str(&text.replace("&#62;", ">").replace("&#38;", "&")).expect(&text)
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl SoftwarePasskey {
    /// One that answers this question, at the site of this origin.
    pub(crate) fn new(origin: &str, question: &Value) -> Self {
        let handle = question["user"]["id"].as_str().unwrap();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let id = digest(&SHA256, pair.public_key().as_ref()).as_ref().to_vec();
        Self {
            pair,
            id,
            handle: Some(URL_SAFE_NO_PAD.decode(handle).unwrap()),
            count: 1,
            flags: PRESENT | VERIFIED,
            rp_id: question["rp"]["id"].as_str().unwrap().to_owned(),
            origin: origin.to_owned(),
            cross_origin: false,
            client_type: None,
            algorithm: -7,
        }
    }

    fn client_data(&self, usual: &str, question: &Value) -> Vec<u8> {
        let kind = self.client_type.unwrap_or(usual);
        let data = json!({
            "type": kind, "challenge": question["challenge"], "origin": self.origin,
            "crossOrigin": self.cross_origin,
        });
        data.to_string().into_bytes()
    }

    fn authenticator_data(&mut self, flags: u8) -> Vec<u8> {
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(self.flags | flags);
        data.extend(self.count.to_be_bytes());
        if self.count > 0 {
            self.count += 1;
        }
        data
    }

    /// `navigator.credentials.create()`, without an attestation.
    pub(crate) fn registers(&mut self, question: &Value) -> String {
        let mut data = self.authenticator_data(ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        let point = self.pair.public_key().as_ref();
        data.extend([0xa5, 0x01, 0x02, 0x03, self.algorithm.unsigned_abs() - 1 + 0x20]);
        data.extend([0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..]);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend(data);
        let client = self.client_data("webauthn.create", question);
        self.answer(&json!({
            "attestationObject": base64(&object), "clientDataJSON": base64(&client), "transports": ["internal"],
        }))
    }

    /// `navigator.credentials.get()`
    pub(crate) fn signs(&mut self, question: &Value) -> String {
        let data = self.authenticator_data(0);
        let client = self.client_data("webauthn.get", question);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &client).as_ref());
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        self.answer(&json!({
            "authenticatorData": base64(&data), "clientDataJSON": base64(&client),
            "signature": base64(signature.as_ref()), "userHandle": self.handle.as_deref().map(base64),
        }))
    }

    fn answer(&self, response: &Value) -> String {
        let id = base64(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "extensions": {}, "response": response })
            .to_string()
    }
}
