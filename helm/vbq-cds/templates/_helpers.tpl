{{/* Names and labels. */}}
{{- define "vbq.name" -}}
{{- printf "%s-%s" .root.Release.Name .component | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vbq.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "vbq.labels" -}}
{{ include "vbq.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "vbq.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Our base URL as clients see it. */}}
{{- define "vbq.publicUrl" -}}
{{- if .Values.publicUrl -}}{{ .Values.publicUrl }}
{{- else if .Values.ingress.enabled -}}https://{{ .Values.ingress.host }}
{{- else -}}http://{{ include "vbq.name" (dict "root" . "component" "cds") }}.{{ .Release.Namespace }}.svc
{{- end -}}
{{- end -}}

{{/* What every container may not do. */}}
{{- define "vbq.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The environment of every container: URLs from secrets, structure from the ConfigMap. */}}
{{- define "vbq.environment" -}}
- name: VBQ_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.secrets.database.name }}
      key: {{ .Values.secrets.database.key }}
- name: VBQ_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.secrets.redis.name }}
      key: {{ .Values.secrets.redis.key }}
- name: VBQ_CONFIG
  value: /etc/vbq/vbq.yaml
- name: VBQ_DATA_DIR
  value: /var/lib/vbq
- name: VBQ_HOST
  value: 0.0.0.0
- name: VBQ_PORT
  value: "8080"
- name: VBQ_PUBLIC_URL
  value: {{ include "vbq.publicUrl" . | quote }}
{{- range $name, $value := .Values.environment }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* The port that `vbq receive` listens on, as the configuration says. */}}
{{- define "vbq.dicomPort" -}}
{{- (.Values.config.receive | default dict).port | default 11112 | int -}}
{{- end -}}

{{/* A whole Deployment. Takes root, component, spec (values of the component), args, http, dicom (a port), probes, grace,
scratch, studies (whether it sees what was sent to us), sole (never two at once). */}}
{{- define "vbq.deployment" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "vbq.name" . }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "vbq.labels" . | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .spec.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "vbq.selector" . | nindent 6 }}
  strategy:
    {{- if .sole }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
    {{- end }}
  template:
    metadata:
      labels: {{- include "vbq.labels" . | nindent 8 }}
      annotations:
        # a changed configuration restarts the pods, one by one
        checksum/config: {{ $root.Values.config | toYaml | sha256sum }}
        {{- with $root.Values.podAnnotations }}{{- toYaml . | nindent 8 }}{{- end }}
    spec:
      serviceAccountName: {{ include "vbq.name" (dict "root" $root "component" "pods") }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {{ .grace }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: { type: RuntimeDefault }
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      initContainers:
        # guarded by a lock in the database: of many pods that start at once, one migrates and the others wait
        - name: migrate
          image: {{ include "vbq.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [migrate]
          env: {{- include "vbq.environment" $root | nindent 12 }}
          securityContext: {{- include "vbq.containerSecurity" $root | nindent 12 }}
          resources: {{- toYaml .spec.resources | nindent 12 }}
          volumeMounts: &mounts
            - { name: config, mountPath: /etc/vbq/vbq.yaml, subPath: vbq.yaml, readOnly: true }
            - { name: data, mountPath: /var/lib/vbq }
            - { name: tmp, mountPath: /tmp }
            {{- if .studies }}
            - { name: studies, mountPath: /var/lib/vbq/studies }
            {{- end }}
            {{- range $root.Values.secrets.files }}
            - { name: {{ printf "keys-%s" . }}, mountPath: {{ printf "/etc/vbq/keys/%s" . }}, readOnly: true }
            {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "vbq.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: {{- toYaml .args | nindent 12 }}
          env:
            {{- include "vbq.environment" $root | nindent 12 }}
            {{- with .extraEnv }}{{- toYaml . | nindent 12 }}{{- end }}
          {{- with $root.Values.secrets.environment }}
          envFrom:
            {{- range . }}
            - secretRef: { name: {{ . }} }
            {{- end }}
          {{- end }}
          {{- if .http }}
          ports:
            - { name: http, containerPort: 8080, protocol: TCP }
          {{- end }}
          {{- with .dicom }}
          ports:
            - { name: dicom, containerPort: {{ . }}, protocol: TCP }
          {{- end }}
          {{- toYaml .probes | nindent 10 }}
          securityContext: {{- include "vbq.containerSecurity" $root | nindent 12 }}
          resources: {{- toYaml .spec.resources | nindent 12 }}
          volumeMounts: *mounts
      volumes:
        - name: config
          configMap: { name: {{ include "vbq.name" (dict "root" $root "component" "config") }} }
        - name: data
          emptyDir: { sizeLimit: {{ .scratch | default "512Mi" }} }
        - name: tmp
          emptyDir: { sizeLimit: {{ .scratch | default "512Mi" }} }
        {{- if .studies }}
        - name: studies
          persistentVolumeClaim: { claimName: {{ $root.Values.receive.claim | quote }} }
        {{- end }}
        {{- range $root.Values.secrets.files }}
        - name: {{ printf "keys-%s" . }}
          secret: { secretName: {{ . }} }
        {{- end }}
      {{- with $root.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "vbq.selector" . | nindent 14 }}
{{- end -}}

{{/* Probes of a web process: alive is not the same as ready (readyz asks the database). */}}
{{- define "vbq.httpProbes" -}}
startupProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
  timeoutSeconds: 3
lifecycle:
  preStop:
    # the endpoint is taken out of the load balancer while requests still arrive
    sleep: { seconds: 5 }
{{- end -}}

{{/* A background process is alive while it touches its heartbeat file; `celery inspect ping` would cost seconds of CPU. */}}
{{- define "vbq.heartbeatProbes" -}}
livenessProbe:
  exec:
    command: [python, -c, "import os, sys, time; sys.exit(time.time() - os.path.getmtime('/var/lib/vbq/{{ .component }}.heartbeat') > {{ .maximumAge }})"]
  initialDelaySeconds: 30
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}
