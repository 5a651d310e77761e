# The application as which the broker calls Microsoft Graph. It has no secret: the cluster's own tokens are exchanged.

data "azuread_application_published_app_ids" "known" {}

data "azuread_service_principal" "graph" {
  client_id = data.azuread_application_published_app_ids.known.result["MicrosoftGraph"]
}

resource "azuread_application" "broker" {
  display_name            = var.name
  owners                  = var.owners
  sign_in_audience        = "AzureADMyOrg"
  prevent_duplicate_names = true

  required_resource_access {
    resource_app_id = data.azuread_service_principal.graph.client_id

    dynamic "resource_access" {
      for_each = toset(var.graph_permissions)
      content {
        id   = data.azuread_service_principal.graph.app_role_ids[resource_access.value]
        type = "Role"
      }
    }
  }
}

resource "azuread_service_principal" "broker" {
  client_id                    = azuread_application.broker.client_id
  owners                       = var.owners
  app_role_assignment_required = true
}

# Admin consent, permission by permission.
resource "azuread_app_role_assignment" "graph" {
  for_each            = toset(var.graph_permissions)
  app_role_id         = data.azuread_service_principal.graph.app_role_ids[each.value]
  principal_object_id = azuread_service_principal.broker.object_id
  resource_object_id  = data.azuread_service_principal.graph.object_id
}

resource "azuread_application_federated_identity_credential" "cluster" {
  for_each       = var.federated_subjects
  application_id = azuread_application.broker.id
  display_name   = each.key
  audiences      = ["api://AzureADTokenExchange"]
  issuer         = each.value.issuer
  subject        = each.value.subject
}
