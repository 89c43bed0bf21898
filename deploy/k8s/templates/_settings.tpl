{{/* The files of /etc/accord. Each definition takes {root, name}. */}}

{{/* The access policy, and the settings: NAME.toml, but for the broker one file for each of its pods. */}}
{{- define "accord.config" -}}
{{- $it := . -}}
access.yaml: |
  {{- .root.Files.Get "files/access.yaml" | trim | nindent 2 }}
{{- if eq .name "exchange" }}
{{- range $ordinal := until (int .root.Values.exchange.replicas) }}
{{- $instance := printf "%s-%d" (include "accord.fullname" $it) $ordinal }}
{{ $instance }}.toml: |
  {{- include "accord.settings.exchange" (dict "root" $it.root "instance" $instance) | nindent 2 }}
{{- end }}
{{- else }}
{{ .name }}.toml: |
  {{- include (printf "accord.settings.%s" .name) . | nindent 2 }}
{{- end }}
{{- end }}

{{/* One definition a service, as services/NAME/config.py reads it. */}}

{{/* Takes {root, url}; with a url, of that database. */}}
{{- define "accord.settings.registry" -}}
{{- $registry := .root.Values.registry -}}
trust_domain = {{ .root.Values.trustDomain | toJson }}
database_url = {{ .url | default $registry.database.url | toJson }}
lease_key = "/run/accord/keys/lease.pem"
log_key = "/run/accord/keys/log.pem"
ledger = {{ include "accord.target" (dict "root" .root "name" "consent") | toJson }}
trust = "/run/accord/trust/trust.json"
allow_local_endpoints = {{ $registry.allowLocalEndpoints }}
{{ include "accord.settings.process" .root }}
{{- end }}

{{/* Takes {root, url}; with a url, of that database. */}}
{{- define "accord.settings.consent" -}}
{{- $consent := .root.Values.consent -}}
trust_domain = {{ .root.Values.trustDomain | toJson }}
trust = "/run/accord/trust/trust.json"
database_url = {{ .url | default $consent.database.url | toJson }}
registry = {{ include "accord.target" (dict "root" .root "name" "registry") | toJson }}
shards = {{ int64 $consent.shards }}
epoch = {{ int64 $consent.epoch }}
allow_test_ins = {{ .root.Values.allowTestIns }}
clock_leeway_ms = {{ int64 $consent.clockLeewayMs }}
outcome_deadline_s = {{ int64 $consent.outcomeDeadlineSeconds }}
replica_url = {{ $consent.replicaUrl | toJson }}
{{- with $consent.erasureDelayDays }}
erasure_delay_days = {{ int64 . }}
{{- end }}

[keys]
log = "/run/accord/keys/log.pem"
permit = "/run/accord/keys/permit.pem"
master = "/run/accord/keys/master.key"
{{ include "accord.settings.process" .root }}
{{- end }}

{{/* Takes {root, instance}; the pod's name, because a row of the store belongs to whoever wrote it, across restarts. */}}
{{- define "accord.settings.exchange" -}}
{{- $exchange := .root.Values.exchange -}}
trust_domain = {{ .root.Values.trustDomain | toJson }}
trust = "/run/accord/trust/trust.json"
database_url = {{ $exchange.database.url | toJson }}
spool = "/spool/bundles"
signing_key = "/run/accord/keys/manifest.pem"
registry = {{ include "accord.target" (dict "root" .root "name" "registry") | toJson }}
consent = {{ include "accord.target" (dict "root" .root "name" "consent") | toJson }}
allow_test_ins = {{ .root.Values.allowTestIns }}
check_author_identifiers = {{ $exchange.checkAuthorIdentifiers }}
instance = {{ .instance | toJson }}
max_bundle_bytes = {{ int64 $exchange.maxBundleBytes }}
max_document_bytes = {{ int64 $exchange.maxDocumentBytes }}
max_in_flight = {{ int64 $exchange.maxInFlight }}
{{ include "accord.settings.process" .root }}
{{- end }}

{{- define "accord.settings.process" }}
[server]
listen = "[::]:50051"
health_listen = "[::]:50052"
access_policy = "access.yaml"
max_message_bytes = {{ int64 .Values.server.maxMessageBytes }}
max_concurrent_rpcs = {{ int64 .Values.server.maxConcurrentRpcs }}
max_connection_age_s = {{ .Values.server.maxConnectionAgeSeconds }}
max_deadline_s = {{ .Values.server.maxDeadlineSeconds }}
notice_s = {{ .Values.server.noticeSeconds }}
drain_s = {{ .Values.server.drainSeconds }}

[server.tls]
cert = "/run/accord/tls/tls.crt"
key = "/run/accord/tls/tls.key"
ca = "/run/accord/tls/ca.crt"

[telemetry]
{{- with .Values.telemetry.otlpEndpoint }}
otlp_endpoint = {{ . | toJson }}
{{- end }}
sample_ratio = {{ .Values.telemetry.sampleRatio }}
{{- end }}
