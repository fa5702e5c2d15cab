# Brings another region's policy to this one's Redis. Two of them do each other no harm.
locals {
  follows = nonsensitive(var.relay != null)
  relay   = { "app.kubernetes.io/name" = "outrigger-relay" }
}

resource "kubernetes_secret_v1" "relay" {
  count = local.follows ? 1 : 0
  metadata {
    name      = "outrigger-relay"
    namespace = var.namespace
  }
  data = { from = var.relay.from, to = var.relay.to }
}

resource "kubernetes_deployment_v1" "relay" {
  count = local.follows ? 1 : 0
  metadata {
    name      = "outrigger-relay"
    namespace = var.namespace
  }
  spec {
    replicas = 2
    selector {
      match_labels = local.relay
    }
    template {
      metadata {
        labels = local.relay
      }
      spec {
        automount_service_account_token  = false
        termination_grace_period_seconds = 15
        security_context {
          run_as_non_root = true
          run_as_user     = 65532
          run_as_group    = 65532
          fs_group        = 65532
        }
        container {
          name  = "relay"
          image = var.image
          args  = ["relay"]
          env {
            name  = "REDIS_URL_FILE"
            value = "/secrets/to"
          }
          env {
            name  = "OUTRIGGER_RELAY_FROM_FILE"
            value = "/secrets/from"
          }
          env {
            name  = "OUTRIGGER_POLICY_KEYS"
            value = var.policy_keys
          }
          port {
            name           = "admin"
            container_port = 9901
          }
          resources {
            requests = { cpu = "50m", memory = "128Mi" }
            limits   = { memory = "256Mi" }
          }
          security_context {
            allow_privilege_escalation = false
            read_only_root_filesystem  = true
            capabilities {
              drop = ["ALL"]
            }
          }
          liveness_probe {
            http_get {
              path = "/livez"
              port = "admin"
            }
          }
          readiness_probe {
            http_get {
              path = "/readyz"
              port = "admin"
            }
          }
          volume_mount {
            name       = "secrets"
            mount_path = "/secrets"
            read_only  = true
          }
        }
        volume {
          name = "secrets"
          secret {
            secret_name  = kubernetes_secret_v1.relay[0].metadata[0].name
            default_mode = "0440"
          }
        }
      }
    }
  }
}
