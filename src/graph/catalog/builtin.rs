//! The operations that come with the broker: our own table of what agents ask for most.

use http::Method;

use super::{Operation, Risk};

/// Method, path, application permissions that suffice (least first), risk, description.
type Row = (&'static str, &'static str, &'static [&'static str], Risk, &'static str);

use Risk::{Destructive, Read, Write};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("GET", "/users", &["User.ReadBasic.All", "User.Read.All"], Read, "List users"),
    ("GET", "/users/{id}", &["User.ReadBasic.All", "User.Read.All"], Read, "Read one user"),
    ("GET", "/users/delta", &["User.Read.All"], Read, "Users changed since the last call"),
    ("POST", "/users", &["User.ReadWrite.All"], Destructive, "Create a user"),
    ("PATCH", "/users/{id}", &["User.ReadWrite.All"], Write, "Change a user"),
    ("DELETE", "/users/{id}", &["User.DeleteRestore.All", "User.ReadWrite.All"], Destructive, "Delete a user"),
    ("GET", "/users/{id}/manager", &["User.Read.All"], Read, "Read a user's manager"),
    ("GET", "/users/{id}/directReports", &["User.Read.All"], Read, "List a user's direct reports"),
    ("GET", "/users/{id}/memberOf", &["Directory.Read.All"], Read, "List a user's groups and roles"),
    ("GET", "/users/{id}/photo/$value", &["ProfilePhoto.Read.All"], Read, "Download a user's photo"),
    ("POST", "/users/{id}/revokeSignInSessions", &["User.RevokeSessions.All"], Destructive, "Sign a user out everywhere"),
    ("GET", "/users/{id}/authentication/methods", &["UserAuthenticationMethod.Read.All"], Read, "List a user's sign-in methods"),
    ("GET", "/users/{id}/licenseDetails", &["LicenseAssignment.Read.All"], Read, "List a user's licences"),
    ("POST", "/users/{id}/assignLicense", &["LicenseAssignment.ReadWrite.All"], Destructive, "Assign or remove licences"),
    ("GET", "/groups", &["Group.ReadBasic.All", "Group.Read.All"], Read, "List groups"),
    ("GET", "/groups/{id}", &["Group.ReadBasic.All", "Group.Read.All"], Read, "Read one group"),
    ("POST", "/groups", &["Group.Create", "Group.ReadWrite.All"], Write, "Create a group"),
    ("PATCH", "/groups/{id}", &["Group.ReadWrite.All"], Write, "Change a group"),
    ("DELETE", "/groups/{id}", &["Group.ReadWrite.All"], Destructive, "Delete a group"),
    ("GET", "/groups/{id}/members", &["GroupMember.ReadBasic.All", "GroupMember.Read.All", "Group.Read.All"], Read, "List a group's members"),
    ("POST", "/groups/{id}/members/$ref", &["GroupMember.ReadWrite.All", "Group.ReadWrite.All"], Write, "Add a member to a group"),
    ("DELETE", "/groups/{id}/members/{member}/$ref", &["GroupMember.ReadWrite.All", "Group.ReadWrite.All"], Write, "Remove a member from a group"),
    ("GET", "/groups/{id}/owners", &["GroupMember.Read.All", "Group.Read.All"], Read, "List a group's owners"),
    ("GET", "/organization", &["Organization.Read.All"], Read, "Read the tenant's own description"),
    ("GET", "/domains", &["Domain.Read.All"], Read, "List the tenant's domains"),
    ("GET", "/subscribedSkus", &["LicenseAssignment.Read.All"], Read, "List the subscriptions the tenant has"),
    ("GET", "/directoryRoles", &["RoleManagement.Read.Directory"], Read, "List active directory roles"),
    ("GET", "/roleManagement/directory/roleAssignments", &["RoleManagement.Read.Directory"], Read, "List role assignments"),
    ("GET", "/applications", &["Application.Read.All"], Read, "List app registrations"),
    ("GET", "/applications/{id}", &["Application.Read.All"], Read, "Read one app registration"),
    ("GET", "/servicePrincipals", &["Application.Read.All"], Read, "List service principals"),
    ("POST", "/applications/{id}/addPassword", &["Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"], Destructive, "Add a client secret to an app; the answer holds it"),
    ("GET", "/devices", &["Device.Read.All"], Read, "List directory devices"),
    ("GET", "/deviceManagement/managedDevices", &["DeviceManagementManagedDevices.Read.All"], Read, "List Intune devices"),
    ("GET", "/auditLogs/signIns", &["AuditLog.Read.All"], Read, "List sign-ins"),
    ("GET", "/auditLogs/directoryAudits", &["AuditLog.Read.All"], Read, "List directory changes"),
    ("GET", "/reports/authenticationMethods/userRegistrationDetails", &["AuditLog.Read.All"], Read, "Who has registered which sign-in methods"),
    ("GET", "/security/alerts_v2", &["SecurityAlert.Read.All"], Read, "List security alerts"),
    ("GET", "/security/incidents", &["SecurityIncident.Read.All"], Read, "List security incidents"),
    ("GET", "/identity/conditionalAccess/policies", &["Policy.Read.All"], Read, "List conditional access policies"),
    ("GET", "/identityProtection/riskyUsers", &["IdentityRiskyUser.Read.All"], Read, "List users at risk"),
    ("GET", "/admin/serviceAnnouncement/healthOverviews", &["ServiceHealth.Read.All"], Read, "Health of Microsoft 365 services"),
    ("GET", "/admin/serviceAnnouncement/issues", &["ServiceHealth.Read.All"], Read, "Known issues of Microsoft 365 services"),
    ("GET", "/users/{id}/messages", &["Mail.ReadBasic.All", "Mail.Read"], Read, "List a mailbox's messages"),
    ("GET", "/users/{id}/mailFolders", &["Mail.ReadBasic.All", "Mail.Read"], Read, "List mail folders"),
    ("GET", "/users/{id}/mailFolders/{folder}/messages", &["Mail.ReadBasic.All", "Mail.Read"], Read, "List the messages of a folder"),
    ("GET", "/users/{id}/messages/{message}", &["Mail.Read"], Read, "Read one message"),
    ("GET", "/users/{id}/messages/{message}/attachments", &["Mail.Read"], Read, "List a message's attachments"),
    ("POST", "/users/{id}/messages", &["Mail.ReadWrite"], Write, "Create a draft"),
    ("PATCH", "/users/{id}/messages/{message}", &["Mail.ReadWrite"], Write, "Change a message"),
    ("DELETE", "/users/{id}/messages/{message}", &["Mail.ReadWrite"], Destructive, "Delete a message"),
    ("POST", "/users/{id}/sendMail", &["Mail.Send"], Destructive, "Send mail as a user"),
    ("GET", "/users/{id}/mailboxSettings", &["MailboxSettings.Read"], Read, "Read mailbox settings"),
    ("GET", "/users/{id}/events", &["Calendars.ReadBasic", "Calendars.Read"], Read, "List calendar events"),
    ("GET", "/users/{id}/calendarView", &["Calendars.ReadBasic", "Calendars.Read"], Read, "Calendar events in a span of time"),
    ("POST", "/users/{id}/calendar/getSchedule", &["Calendars.ReadBasic", "Calendars.Read"], Read, "Free and busy times (a read by POST)"),
    ("POST", "/users/{id}/events", &["Calendars.ReadWrite"], Write, "Create an event; invites its attendees"),
    ("PATCH", "/users/{id}/events/{event}", &["Calendars.ReadWrite"], Write, "Change an event"),
    ("DELETE", "/users/{id}/events/{event}", &["Calendars.ReadWrite"], Write, "Delete an event"),
    ("GET", "/users/{id}/contacts", &["Contacts.Read"], Read, "List contacts"),
    ("GET", "/sites/{id}", &["Sites.Read.All", "Sites.Selected"], Read, "Read one site; prefer Sites.Selected"),
    ("GET", "/sites/{id}/lists", &["Sites.Read.All", "Sites.Selected"], Read, "List a site's lists"),
    ("GET", "/sites/{id}/lists/{list}/items", &["Sites.Read.All", "Sites.Selected"], Read, "List the items of a list"),
    ("POST", "/sites/{id}/lists/{list}/items", &["Sites.ReadWrite.All", "Sites.Selected"], Write, "Add an item to a list"),
    ("GET", "/drives/{id}/items/{item}", &["Files.Read.All"], Read, "Read a file's description"),
    ("GET", "/drives/{id}/items/{item}/children", &["Files.Read.All"], Read, "List a folder"),
    ("GET", "/drives/{id}/items/{item}/content", &["Files.Read.All"], Read, "Download a file; Graph answers with a redirect"),
    ("PUT", "/drives/{id}/items/{item}/content", &["Files.ReadWrite.All"], Write, "Replace a file's content"),
    ("GET", "/users/{id}/joinedTeams", &["Team.ReadBasic.All"], Read, "List a user's teams"),
    ("GET", "/teams/{id}", &["Team.ReadBasic.All"], Read, "Read one team"),
    ("GET", "/teams/{id}/channels", &["Channel.ReadBasic.All"], Read, "List a team's channels"),
    ("GET", "/teams/{id}/channels/{channel}/messages", &["ChannelMessage.Read.All"], Read, "List a channel's messages"),
    ("POST", "/teams/{id}/channels/{channel}/messages", &[], Destructive, "Post to a channel: not possible for an app, outside migration"),
    ("GET", "/users/{id}/presence", &["Presence.Read.All"], Read, "Read a user's presence"),
    ("GET", "/planner/plans/{id}/tasks", &["Tasks.Read.All"], Read, "List a plan's tasks"),
    ("GET", "/users/{id}/todo/lists", &["Tasks.Read.All"], Read, "List a user's task lists"),
    ("POST", "/search/query", &["Files.Read.All"], Destructive, "Search across workloads (a read by POST); refused unless a rule names it"),
    ("POST", "/subscriptions", &[], Destructive, "Webhooks; needs the permission of what is watched; refused unless a rule names it"),
];

pub(super) fn operations() -> Vec<Operation> {
    ROWS.iter().filter_map(operation).collect()
}

/// `None` only for a row that is misspelt; a test counts them.
fn operation((method, path, permissions, risk, description): &Row) -> Option<Operation> {
    Some(Operation {
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path_template: (*path).into(),
        permissions: permissions.iter().map(|name| name.parse()).collect::<Result<_, _>>().ok()?,
        risk: *risk,
        description: (*description).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_misspelt() {
        assert_eq!(operations().len(), ROWS.len());
    }
}
