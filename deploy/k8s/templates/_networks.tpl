{{/* NetworkPolicy peers. */}}

{{/* Pods of this release by service name. Takes {root, names}. */}}
{{- define "accord.pods" -}}
{{- $root := .root -}}
{{- range $index, $name := .names -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- podSelector:
    matchLabels:
      {{- include "accord.selector" (dict "root" $root "name" $name) | nindent 6 }}
{{- end }}
{{- end }}

{{/*
Partners: the public internet. Left out are the networks of IANA's special-purpose registries (RFC 6890) where a cluster's
own services, a node's metadata address or another tenant could be.
*/}}
{{- define "accord.partners" -}}
{{- $v4 := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.0.0.0/24" -}}
{{- $v4 = concat $v4 (list "192.168.0.0/16" "198.18.0.0/15" "224.0.0.0/4" "240.0.0.0/4") -}}
{{- $v6 := list "::/128" "::1/128" "64:ff9b::/96" "64:ff9b:1::/48" "2002::/16" "fc00::/7" "fe80::/10" "ff00::/8" -}}
{{- range .except -}}
{{- if contains ":" . }}{{ $v6 = append $v6 . }}{{ else }}{{ $v4 = append $v4 . }}{{ end -}}
{{- end -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          {{- range $v4 }}
          - {{ . | quote }}
          {{- end }}
    - ipBlock:
        cidr: "::/0"
        except:
          {{- range $v6 }}
          - {{ . | quote }}
          {{- end }}
{{- end }}
