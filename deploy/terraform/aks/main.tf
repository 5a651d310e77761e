# A cluster whose nodes scale, a registry, a vault, and the Entra application that the broker calls Graph as.

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.location
}

resource "azurerm_virtual_network" "this" {
  name                = var.name
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  address_space       = ["10.10.0.0/16"]
}

resource "azurerm_subnet" "nodes" {
  name                 = "nodes"
  resource_group_name  = azurerm_resource_group.this.name
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = ["10.10.0.0/20"]
}

resource "azurerm_kubernetes_cluster" "this" {
  name                      = var.name
  resource_group_name       = azurerm_resource_group.this.name
  location                  = var.location
  dns_prefix                = var.name
  automatic_upgrade_channel = "stable"
  # The broker's pods prove who they are by tokens of this issuer.
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  local_account_disabled    = true

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    tenant_id              = var.tenant_id
    admin_group_object_ids = var.admin_groups
  }

  api_server_access_profile {
    authorized_ip_ranges = var.admin_networks
  }

  default_node_pool {
    name                        = "pool"
    temporary_name_for_rotation = "rotation"
    vm_size                     = var.vm_size
    vnet_subnet_id              = azurerm_subnet.nodes.id
    zones                       = ["1", "2", "3"]
    auto_scaling_enabled        = true
    min_count                   = var.min_nodes
    max_count                   = var.max_nodes
  }

  identity {
    type = "SystemAssigned"
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    # NetworkPolicies are kept by it.
    network_data_plane = "cilium"
    network_policy     = "cilium"
  }
}

# With a network of our own the cluster's identity has to be let in.
resource "azurerm_role_assignment" "network" {
  scope                = azurerm_subnet.nodes.id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_kubernetes_cluster.this.identity[0].principal_id
}

resource "azurerm_container_registry" "this" {
  name                = var.registry_name
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  sku                 = "Standard"
  admin_enabled       = false
}

resource "azurerm_role_assignment" "pull" {
  scope                = azurerm_container_registry.this.id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_kubernetes_cluster.this.kubelet_identity[0].object_id
}

# Holds store-url and key-encryption-key, set by hand, and so not in Terraform's state.
resource "azurerm_key_vault" "this" {
  name                       = var.vault_name
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tenant_id                  = var.tenant_id
  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90
}

# External Secrets logs in as this identity, through the broker's Kubernetes service account, and reads this vault alone.
resource "azurerm_user_assigned_identity" "secrets" {
  name                = "${var.name}-secrets"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
}

resource "azurerm_federated_identity_credential" "secrets" {
  name                = "cluster"
  resource_group_name = azurerm_resource_group.this.name
  parent_id           = azurerm_user_assigned_identity.secrets.id
  audience            = ["api://AzureADTokenExchange"]
  issuer              = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject             = "system:serviceaccount:${var.namespace}:${var.service_account}"
}

resource "azurerm_role_assignment" "secrets" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.secrets.principal_id
}

module "entra" {
  source            = "../entra"
  name              = "MCP Auth Broker (${var.name})"
  owners            = var.owners
  graph_permissions = var.graph_permissions
  federated_subjects = {
    (var.name) = {
      issuer  = azurerm_kubernetes_cluster.this.oidc_issuer_url
      subject = "system:serviceaccount:${var.namespace}:${var.service_account}"
    }
  }
}
