# One Redis with a volume. In its place: a managed one, or an operator's with replicas; then only its address matters.
terraform {
  required_providers {
    kubernetes = {
      source = "hashicorp/kubernetes"
    }
  }
}

locals {
  redis = { "app.kubernetes.io/name" = "outrigger-redis" }
}

resource "kubernetes_secret_v1" "redis_users" {
  metadata {
    name      = "outrigger-redis-users"
    namespace = var.namespace
  }
  data = { "users.conf" = var.redis_acl }
}

resource "kubernetes_service_v1" "redis" {
  metadata {
    name      = "outrigger-redis"
    namespace = var.namespace
  }
  spec {
    selector = local.redis
    port {
      port = 6379
    }
  }
}

resource "kubernetes_stateful_set_v1" "redis" {
  metadata {
    name      = "outrigger-redis"
    namespace = var.namespace
  }
  spec {
    service_name = kubernetes_service_v1.redis.metadata[0].name
    replicas     = 1
    selector {
      match_labels = local.redis
    }
    template {
      metadata {
        labels = local.redis
      }
      spec {
        automount_service_account_token = false
        security_context {
          run_as_non_root = true
          run_as_user     = 999
          fs_group        = 999
        }
        container {
          name  = "redis"
          image = var.redis_image
          # Policies, keys and switches must never be evicted: only what expires may be.
          command = [
            "redis-server", "--include", "/users/users.conf", "--appendonly", "yes", "--dir", "/data",
            "--maxmemory", "400mb", "--maxmemory-policy", "volatile-lru",
          ]
          port {
            container_port = 6379
          }
          resources {
            requests = { cpu = "100m", memory = "512Mi" }
            limits   = { memory = "768Mi" }
          }
          security_context {
            allow_privilege_escalation = false
            read_only_root_filesystem  = true
            capabilities {
              drop = ["ALL"]
            }
          }
          readiness_probe {
            tcp_socket {
              port = 6379
            }
          }
          volume_mount {
            name       = "users"
            mount_path = "/users"
            read_only  = true
          }
          volume_mount {
            name       = "data"
            mount_path = "/data"
          }
        }
        volume {
          name = "users"
          secret {
            secret_name = kubernetes_secret_v1.redis_users.metadata[0].name
          }
        }
      }
    }
    volume_claim_template {
      metadata {
        name = "data"
      }
      spec {
        access_modes = ["ReadWriteOnce"]
        resources {
          requests = { storage = "2Gi" }
        }
      }
    }
  }
}
