variable "name" {
  description = "Display name of the application."
  type        = string
  default     = "MCP Auth Broker"
}

variable "graph_permissions" {
  description = "Application permissions of Microsoft Graph, such as User.Read.All: what policy allows, and no more. Admin consent is given."
  type        = list(string)

  validation {
    condition     = length(setintersection(var.graph_permissions, ["Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "RoleManagement.ReadWrite.Directory", "Directory.ReadWrite.All"])) == 0
    error_message = "With these permissions the application could give itself every other one."
  }
}

variable "federated_subjects" {
  description = "Who may act as the application without a secret: a name, the issuer of its tokens (the cluster's OIDC issuer) and their subject (system:serviceaccount:NAMESPACE:NAME)."
  type = map(object({
    issuer  = string
    subject = string
  }))
}

variable "owners" {
  description = "Object ids of the people who answer for the application."
  type        = list(string)
}
