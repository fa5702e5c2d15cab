# A service with its sidecar in one group: they share a network, the service listens on loopback only.
job "orders" {
  datacenters = ["dc1"]

  group "orders" {
    count = 2

    network {
      mode = "bridge"
      port "http" { to = 8080 }
      port "metrics" { to = 9901 }
    }

    service {
      name = "orders"
      port = "http"
      check {
        type     = "http"
        port     = "metrics"
        path     = "/readyz"
        interval = "5s"
        timeout  = "2s"
      }
    }

    # Started before the service, ended after it.
    task "outrigger" {
      driver = "docker"
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      config {
        image           = "outrigger:0.1.0"
        readonly_rootfs = true
        cap_drop        = ["all"]
      }
      user         = "65532"
      kill_timeout = "15s"
      env {
        OUTRIGGER_SERVICE   = "orders"
        OUTRIGGER_LISTEN    = "0.0.0.0:8080"
        OUTRIGGER_ADMIN     = "0.0.0.0:9901"
        OUTRIGGER_UPSTREAM  = "http://127.0.0.1:3000"
        OUTRIGGER_STATE_DIR = "${NOMAD_ALLOC_DIR}/data/outrigger"
        REDIS_URL_FILE      = "${NOMAD_SECRETS_DIR}/redis-url"
      }
      # A Nomad variable: nomad var put nomad/jobs/orders redis_url=rediss://…
      template {
        destination = "${NOMAD_SECRETS_DIR}/redis-url"
        data        = "{{ with nomadVar \"nomad/jobs/orders\" }}{{ .redis_url }}{{ end }}"
        perms       = "0444"
      }
      resources {
        cpu        = 500
        memory     = 256
        memory_max = 512
      }
    }

    task "orders" {
      driver = "docker"
      config {
        image = "registry.example/orders:1"
      }
      env {
        HOST = "127.0.0.1"
        PORT = "3000"
      }
    }
  }
}
