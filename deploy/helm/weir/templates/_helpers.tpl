{{- define "weir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 50 characters at most, because names that are made of it end with -admin-token and the like. */}}
{{- define "weir.fullname" -}}
{{- $name := include "weir.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: instance
{{- end }}

{{- define "weir.testSelector" -}}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "weir.labels" -}}
{{ include "weir.commonLabels" . }}
app.kubernetes.io/component: instance
{{- end }}

{{- define "weir.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "weir.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- define "weir.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "weir.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "weir.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin-token" (include "weir.fullname" .)) }}
{{- end }}

{{- define "weir.adminKey" -}}
{{- if .Values.admin.existingSecret }}{{ .Values.admin.key }}{{ else }}token{{ end }}
{{- end }}

{{/* Where the shared log is; nothing where it is embedded. */}}
{{- define "weir.redisUrl" -}}
{{- if .Values.redis.bundled.enabled -}}
redis://{{ include "weir.fullname" . }}-redis:6379
{{- else -}}
{{ .Values.redis.url }}
{{- end }}
{{- end }}

{{/* The bundled Redis has a password too, of the chart's own where none is named. */}}
{{- define "weir.redisSecret" -}}
{{- .Values.redis.existingSecret | default (printf "%s-redis" (include "weir.fullname" .)) }}
{{- end }}

{{- define "weir.redisPasswordKey" -}}
{{- if .Values.redis.existingSecret }}{{ .Values.redis.passwordKey }}
{{- else if .Values.redis.bundled.enabled }}password
{{- end }}
{{- end }}

{{- define "weir.leastReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{/* Seconds, rounded up, of a duration as weir writes it: 250ms, 25s, 10m, 2h, 7d. */}}
{{- define "weir.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else }}{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) }}
{{- end }}
{{- end }}

{{/* Four fifths of the limit of memory, in MiB; nothing where it is not in Mi or Gi. */}}
{{- define "weir.memoryLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString }}
{{- if regexMatch "^[0-9]+(Mi|Gi)$" $limit }}
{{- $mebibytes := mul (regexFind "^[0-9]+" $limit | int64) (ternary 1024 1 (hasSuffix "Gi" $limit)) }}
{{- printf "%dMiB" (div (mul $mebibytes 4) 5) }}
{{- end }}
{{- end }}

{{/*
The settings that follow from the other values, and over them those of `config`. Numbers of values.yaml are floating, which
TOML tells apart, so each line is written by hand.
*/}}
{{- define "weir.toml" -}}
{{- $redis := include "weir.redisUrl" . }}
{{- $all := dict
  "listen" (list (printf "%s:8080" .Values.address))
  "admin-listen" (printf "%s:8081" .Values.address)
  "admin-token-file" "/etc/weir/admin-token" }}
{{- with $redis }}{{ $_ := set $all "redis" . }}{{ end }}
{{- if and $redis (include "weir.redisPasswordKey" .) }}{{ $_ := set $all "redis-password-file" "/etc/weir/redis-password" }}{{ end }}
{{- if and $redis .Values.redis.caKey }}{{ $_ := set $all "redis-ca-file" "/etc/weir/redis-ca.pem" }}{{ end }}
{{- with .Values.tokens.secrets }}
{{- $files := list }}{{ range . }}{{ $files = append $files (printf "/etc/weir/tokens/%s" .) }}{{ end }}
{{- $_ := set $all "jwt-secret-file" $files }}
{{- end }}
{{- with .Values.tokens.publicKeys }}
{{- $files := list }}{{ range . }}{{ $files = append $files (printf "/etc/weir/tokens/%s" .) }}{{ end }}
{{- $_ := set $all "jwt-public-key-file" $files }}
{{- end }}
{{- with include "weir.memoryLimit" . }}{{ $_ := set $all "memory-limit" . }}{{ end }}
{{- range $key, $value := merge (deepCopy .Values.config) $all }}
{{- if kindIs "float64" $value }}{{ $value = int64 $value }}{{ end }}
{{ $key }} = {{ toRawJson $value }}
{{- end }}
{{- end }}

{{/* One that was made at an earlier install is kept. Takes the context, and the name and the key of the Secret. */}}
{{- define "weir.keptSecret" -}}
{{- dig "data" .key "" (lookup "v1" "Secret" .root.Release.Namespace .name) | default (randAlphaNum 48 | b64enc) }}
{{- end }}

{{/* What the schema cannot say, because it takes several values together. */}}
{{- define "weir.check" -}}
{{- $redis := include "weir.redisUrl" . }}
{{- $keys := or .Values.tokens.secrets .Values.tokens.publicKeys (index .Values.config "jwks-url") }}
{{- if not (or $keys (index .Values.config "anonymous")) }}
{{- fail "say who may call: keys that tokens are checked with (tokens.existingSecret with tokens.secrets or tokens.publicKeys, or config.jwks-url), or who needs no token (config.anonymous: none, subscribe, publish or all)" }}
{{- end }}
{{- if and (or .Values.tokens.secrets .Values.tokens.publicKeys) (not .Values.tokens.existingSecret) }}
{{- fail "tokens.secrets and tokens.publicKeys name entries of a Secret: say which one with tokens.existingSecret" }}
{{- end }}
{{- if and .Values.redis.url .Values.redis.bundled.enabled }}
{{- fail "redis.url and redis.bundled.enabled exclude each other: give one of them" }}
{{- end }}
{{- if and (not $redis) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
{{- fail "several pods need a log that they share: give redis.url or redis.bundled.enabled, or replicas: 1" }}
{{- end }}
{{- if and (or .Values.redis.passwordKey .Values.redis.caKey) (not .Values.redis.existingSecret) }}
{{- fail "redis.passwordKey and redis.caKey name entries of a Secret: say which one with redis.existingSecret" }}
{{- end }}
{{- if and .Values.redis.bundled.enabled .Values.redis.existingSecret (not .Values.redis.passwordKey) }}
{{- fail "the bundled Redis has a password: say which entry of redis.existingSecret it is with redis.passwordKey, or name no Secret" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpuPercent) (not .Values.autoscaling.clientsPerPod) }}
{{- fail "autoscaling needs something to go by: autoscaling.cpuPercent or autoscaling.clientsPerPod" }}
{{- end }}
{{- $drain := add (include "weir.seconds" (index .Values.config "drain-delay" | default "5s") | int) (include "weir.seconds" (index .Values.config "drain-window" | default "15s") | int) }}
{{- $timeout := include "weir.seconds" (index .Values.config "shutdown-timeout" | default "25s") | int }}
{{- if gt ($drain | int) $timeout }}
{{- fail (printf "config.shutdown-timeout (%ds) must be more than drain-delay and drain-window together (%ds), or clients are cut before their turn" $timeout ($drain | int)) }}
{{- end }}
{{- end }}
