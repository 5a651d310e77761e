output "client_id" {
  description = "For graph.profile.client_id."
  value       = azuread_application.broker.client_id
}

output "tenant_id" {
  description = "For graph.profile.tenant_id."
  value       = azuread_service_principal.broker.application_tenant_id
}
