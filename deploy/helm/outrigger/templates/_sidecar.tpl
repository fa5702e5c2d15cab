{{- /*
The sidecar for a pod of a chart that depends on this one, first among its initContainers:
  initContainers:
    {{- include "outrigger.sidecar" (dict "values" .Values.outrigger "service" "orders" "upstreamPort" 3000) | nindent 4 }}
service is required; upstreamPort and portName take the place of the values.
*/ -}}
{{- define "outrigger.sidecar" -}}
{{- $values := .values -}}
{{- $sidecar := $values.sidecar -}}
- name: outrigger
  image: {{ include "outrigger.image" (dict "values" $values) | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  restartPolicy: Always
  env:
    - { name: OUTRIGGER_SERVICE, value: {{ required "outrigger.sidecar: say the service" .service | quote }} }
    - name: OUTRIGGER_INSTANCE
      valueFrom: { fieldRef: { fieldPath: metadata.name } }
    - { name: OUTRIGGER_LISTEN, value: {{ printf "0.0.0.0:%v" $sidecar.listenPort | quote }} }
    - { name: OUTRIGGER_ADMIN, value: {{ printf "0.0.0.0:%v" $sidecar.adminPort | quote }} }
    - { name: OUTRIGGER_UPSTREAM, value: {{ printf "http://127.0.0.1:%v" (.upstreamPort | default $sidecar.upstreamPort) | quote }} }
    {{- if $values.redisSecret }}
    - { name: REDIS_URL_FILE, value: /run/secrets/outrigger-redis/url }
    {{- end }}
    {{- if $sidecar.policyConfigMap }}
    - { name: OUTRIGGER_POLICY_FILE, value: /etc/outrigger/policy.yaml }
    {{- end }}
    - { name: OUTRIGGER_STATE_DIR, value: /var/lib/outrigger }
    - { name: LOG_LEVEL, value: {{ $sidecar.logLevel | quote }} }
    {{- if $sidecar.env }}
    {{- toYaml $sidecar.env | nindent 4 }}
    {{- end }}
  ports:
    - { name: {{ .portName | default $sidecar.portName }}, containerPort: {{ $sidecar.listenPort }}, protocol: TCP }
    - { name: outrigger-admin, containerPort: {{ $sidecar.adminPort }}, protocol: TCP }
  startupProbe:
    httpGet: { path: /readyz, port: {{ $sidecar.adminPort }} }
    periodSeconds: 1
    timeoutSeconds: 1
    failureThreshold: 60
  readinessProbe:
    httpGet: { path: /readyz, port: {{ $sidecar.adminPort }} }
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 2
  livenessProbe:
    httpGet: { path: /livez, port: {{ $sidecar.adminPort }} }
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 3
  resources:
    {{- toYaml $sidecar.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    privileged: false
    {{- include "outrigger.securityContext" . | nindent 4 }}
    seccompProfile: { type: RuntimeDefault }
  volumeMounts:
    {{- if $values.redisSecret }}
    - { name: outrigger-redis, mountPath: /run/secrets/outrigger-redis, readOnly: true }
    {{- end }}
    {{- if $sidecar.policyConfigMap }}
    - { name: outrigger-policy, mountPath: /etc/outrigger, readOnly: true }
    {{- end }}
    - { name: outrigger-state, mountPath: /var/lib/outrigger }
{{- end -}}

{{- /* Its volumes: {{- include "outrigger.volumes" (dict "values" .Values.outrigger) | nindent 8 }} */ -}}
{{- define "outrigger.volumes" -}}
{{- if .values.redisSecret -}}
- name: outrigger-redis
  secret: { secretName: {{ .values.redisSecret }}, defaultMode: 292, items: [{ key: url, path: url }] } # 0444
{{ end -}}
{{- if .values.sidecar.policyConfigMap -}}
- name: outrigger-policy
  configMap: { name: {{ .values.sidecar.policyConfigMap }} }
{{ end -}}
- name: outrigger-state
  emptyDir: { sizeLimit: 16Mi }
{{- end -}}

{{- /* An injector in the cluster would refuse a second sidecar. */ -}}
{{- define "outrigger.podAnnotations" -}}
outrigger.dev/inject: "false"
{{- end -}}
