variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Where everything is. The cluster is regional: its nodes are in three zones."
  type        = string
  default     = "europe-west3"
}

variable "name" {
  description = "Name of the cluster, and the beginning of all other names."
  type        = string
  default     = "broker"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "At most 20 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "admin_networks" {
  description = "Networks that may reach the API server, by name."
  type        = map(string)

  validation {
    condition     = !contains(values(var.admin_networks), "0.0.0.0/0")
    error_message = "The API server must not be open to everybody."
  }
}

variable "machine_type" {
  description = "Of the nodes."
  type        = string
  default     = "e2-standard-2"
}

variable "min_nodes_per_zone" {
  description = "The fewest nodes in each zone."
  type        = number
  default     = 1
}

variable "max_nodes_per_zone" {
  description = "The most nodes in each zone."
  type        = number
  default     = 3
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

variable "secrets" {
  description = "Names of the secrets to make in Secret Manager. Their values are added by hand (`gcloud secrets versions add`), and so are not in Terraform's state."
  type        = set(string)
  default     = ["broker-store-url", "broker-key-encryption-key", "broker-entra-login"]
}

variable "deletion_protection" {
  description = "Whether the cluster is protected from being deleted."
  type        = bool
  default     = true
}
