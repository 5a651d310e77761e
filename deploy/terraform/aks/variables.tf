variable "subscription_id" {
  description = "The Azure subscription."
  type        = string
}

variable "tenant_id" {
  description = "The Entra tenant that the broker acts in."
  type        = string
}

variable "location" {
  description = "Where everything is."
  type        = string
  default     = "westeurope"
}

variable "name" {
  description = "Name of the cluster, and the beginning of all other names."
  type        = string
  default     = "broker"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,15}$", var.name))
    error_message = "At most 16 lower-case letters and digits, a letter first."
  }
}

variable "registry_name" {
  description = "Name of the container registry, unique in all of Azure."
  type        = string
}

variable "vault_name" {
  description = "Name of the key vault, unique in all of Azure."
  type        = string
}

variable "admin_networks" {
  description = "Networks that may reach the API server."
  type        = list(string)

  validation {
    condition     = !contains(var.admin_networks, "0.0.0.0/0")
    error_message = "The API server must not be open to everybody."
  }
}

variable "admin_groups" {
  description = "Object ids of the Entra groups that administer the cluster."
  type        = list(string)
}

variable "owners" {
  description = "Object ids of the people who answer for the Entra application."
  type        = list(string)
}

variable "graph_permissions" {
  description = "Application permissions of Microsoft Graph: what policy allows, and no more."
  type        = list(string)
  default     = ["User.Read.All"]
}

variable "vm_size" {
  description = "Of the nodes."
  type        = string
  default     = "Standard_D2s_v5"
}

variable "min_nodes" {
  description = "The fewest nodes."
  type        = number
  default     = 3
}

variable "max_nodes" {
  description = "The most nodes."
  type        = number
  default     = 9
}

variable "namespace" {
  description = "The broker's namespace in the cluster."
  type        = string
  default     = "broker"
}

variable "service_account" {
  description = "The broker's Kubernetes service account: what the chart makes for a release called broker."
  type        = string
  default     = "broker-mcp-auth-broker"
}
