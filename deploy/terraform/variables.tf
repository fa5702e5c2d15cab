variable "kubeconfig" {
  type        = string
  description = "File with the contexts of both clusters"
  default     = "~/.kube/config"
}

variable "context_a" {
  type        = string
  description = "Cluster of the region where policies are changed"
}

variable "context_b" {
  type        = string
  description = "Cluster of the region that follows"
}

variable "namespace" {
  type        = string
  description = "Namespace in both; it has to be there"
  default     = "outrigger-system"
}

variable "image" {
  type        = string
  description = "Outrigger's image, with its digest"
}

variable "redis_acl_a" {
  type        = string
  sensitive   = true
  description = "Users of region A's Redis: ../redis-acl.conf and the first line of ../guides/regions.md, with passwords"
}

variable "redis_acl_b" {
  type        = string
  sensitive   = true
  description = "Users of region B's Redis: the same with the second line"
}

variable "policy_keys" {
  type        = string
  description = "OUTRIGGER_POLICY_KEYS: JWKS of the public keys that sign policies"
}

variable "relay_from" {
  type        = string
  sensitive   = true
  description = "Region A's Redis as region B reaches it over the link: rediss://relay:<password>@host:port"
}

variable "relay_to" {
  type        = string
  sensitive   = true
  description = "Region B's own: redis://relay:<password>@outrigger-redis:6379"
}
