{{/* What a process sees of the world beside its image. Secrets are directories: a renewed file appears without a restart. */}}

{{- define "accord.mounts" -}}
- {name: config, mountPath: /etc/accord, readOnly: true}
- {name: tls, mountPath: /run/accord/tls, readOnly: true}
- {name: keys, mountPath: /run/accord/keys, readOnly: true}
- {name: trust, mountPath: /run/accord/trust, readOnly: true}
{{- if .embedded }}
- {name: data, mountPath: /data}
{{- end }}
{{- if eq .name "exchange" }}
- {name: spool, mountPath: /spool}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{/* Mode 0440: root owns, the pod's group reads, others may not; a process refuses a key that others may read. */}}
{{- define "accord.volumes" -}}
- name: config
  configMap:
    name: {{ include "accord.fullname" . }}
- name: tls
  secret:
    secretName: {{ .service.tls.existingSecret }}
    defaultMode: 0440
- name: keys
  secret:
    secretName: {{ .service.keys.existingSecret }}
    defaultMode: 0440
- name: trust
  secret:
    secretName: {{ .root.Values.trust.existingSecret }}
    defaultMode: 0440
{{- if eq .name "exchange" }}
- name: spool
  emptyDir:
    sizeLimit: {{ .root.Values.exchange.spoolSize }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}
