package app

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// tokenFile is where a pod finds its ServiceAccount's token.
// Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
const tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Self returns the ServiceAccount that this process runs as in a pod; none elsewhere.
func Self() []identity.Subject {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil
	}
	return selfOf(string(token))
}

// selfOf reads the subject of a ServiceAccount's token. The signature is not checked:
// it is the process's own token, and a wrong one only keeps lanyard's hands off one
// ServiceAccount more.
func selfOf(token string) []identity.Subject {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Sub string `json:"sub"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	if s, ok := identity.ParseOIDCSubject(claims.Sub); ok {
		return []identity.Subject{s}
	}
	return nil
}
