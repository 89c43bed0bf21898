{{/*
The pod that migrates a service's database. It holds no key and no certificate, and connects to nothing but the database.
Takes {root, name, service, settings}; `name` is the Job's.
*/}}
{{- define "accord.migration.pod" -}}
{{- $values := index .root.Values .service -}}
metadata:
  labels:
    {{- include "accord.selector" . | nindent 4 }}
  annotations:
    checksum/config: {{ .settings | sha256sum }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "accord.fullname" (dict "root" .root "name" .service) }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: migration
      image: {{ include "accord.image" . | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: [python, -m, services.{{ .service }}]
      args:
        - --config
        - /etc/accord/migration.toml
        - --migrate-only
        - --role
        - {{ regexFind "[a-z_][a-z0-9_]*@" $values.database.url | trimSuffix "@" | quote }}
      {{- with $values.migrations.existingSecret }}
      env:
        - name: PGPASSWORD
          valueFrom:
            secretKeyRef:
              name: {{ . }}
              key: password
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/accord, readOnly: true}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: config
      configMap:
        name: {{ include "accord.fullname" . }}
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
{{- end }}
