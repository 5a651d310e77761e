output "cluster" {
  description = "Name of the cluster, for gcloud container clusters get-credentials."
  value       = google_container_cluster.this.name
}

output "oidc_issuer" {
  description = "Issuer of the tokens of the cluster's service accounts, for federated_subjects of ../entra."
  value       = "https://container.googleapis.com/v1/${google_container_cluster.this.id}"
}

output "federated_subject" {
  description = "Subject of the broker's tokens, for federated_subjects of ../entra."
  value       = "system:serviceaccount:${var.namespace}:${var.service_account}"
}

output "registry" {
  description = "Where images go: the chart's image.repository, less the image's name."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "gcp_service_account" {
  description = "For the chart's serviceAccount.annotations: iam.gke.io/gcp-service-account."
  value       = google_service_account.broker.email
}
