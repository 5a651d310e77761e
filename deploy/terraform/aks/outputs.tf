output "cluster" {
  description = "Name of the cluster, for az aks get-credentials."
  value       = azurerm_kubernetes_cluster.this.name
}

output "registry" {
  description = "Where images go: the chart's image.repository, less the image's name."
  value       = azurerm_container_registry.this.login_server
}

output "vault_url" {
  description = "For the chart's externalSecrets.provider.azurekv.vaultUrl."
  value       = azurerm_key_vault.this.vault_uri
}

output "secrets_client_id" {
  description = "For the chart's serviceAccount.annotations: azure.workload.identity/client-id, with which External Secrets logs in."
  value       = azurerm_user_assigned_identity.secrets.client_id
}

output "graph_client_id" {
  description = "For graph.profile.client_id."
  value       = module.entra.client_id
}

output "graph_tenant_id" {
  description = "For graph.profile.tenant_id."
  value       = module.entra.tenant_id
}
