# Two regions, each a Kubernetes cluster: Redis, and in the second one a relay that brings the first one's policy.
# `terraform init && terraform apply -var-file=regions.tfvars`. Sidecars come with the workloads: see ../guides/kubernetes.md.
terraform {
  required_version = ">= 1.6"
  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.30"
    }
  }
}

provider "kubernetes" {
  alias          = "a"
  config_path    = var.kubeconfig
  config_context = var.context_a
}

provider "kubernetes" {
  alias          = "b"
  config_path    = var.kubeconfig
  config_context = var.context_b
}

# Where policies are changed.
module "region_a" {
  source    = "./region"
  providers = { kubernetes = kubernetes.a }
  namespace = var.namespace
  image     = var.image
  redis_acl = var.redis_acl_a
}

# Follows it.
module "region_b" {
  source      = "./region"
  providers   = { kubernetes = kubernetes.b }
  namespace   = var.namespace
  image       = var.image
  redis_acl   = var.redis_acl_b
  policy_keys = var.policy_keys
  relay       = { from = var.relay_from, to = var.relay_to }
}
