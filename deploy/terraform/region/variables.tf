variable "namespace" {
  type = string
}

variable "image" {
  type = string
}

variable "redis_image" {
  type    = string
  default = "redis:7.4-alpine"
}

variable "redis_acl" {
  type      = string
  sensitive = true
}

variable "policy_keys" {
  type    = string
  default = null
}

# null = this region follows nobody.
variable "relay" {
  type      = object({ from = string, to = string })
  sensitive = true
  default   = null
}
