package awsd

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Claims are what a ServiceAccount's token says.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens
type Claims struct {
	Issuer         string
	Subject        string // "system:serviceaccount:<namespace>:<name>".
	Audience       []string
	NotBefore      time.Time // Zero for one that is good at once.
	Expires        time.Time
	Namespace      string
	ServiceAccount string
	PodName        string
	PodUID         string
}

// wireClaims is a token's payload as JSON.
type wireClaims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   audience `json:"aud"`
	NotBefore  int64    `json:"nbf,omitempty"`
	Expires    int64    `json:"exp"`
	Kubernetes struct {
		Namespace      string `json:"namespace,omitempty"`
		ServiceAccount struct {
			Name string `json:"name,omitempty"`
		} `json:"serviceaccount"`
		Pod struct {
			Name string `json:"name,omitempty"`
			UID  string `json:"uid,omitempty"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// audience is one string or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// UnsignedToken returns a token with these claims and a signature that is none, for worlds
// without an issuer's key. Subject is made from Namespace and ServiceAccount if empty.
func UnsignedToken(c Claims) string {
	var w wireClaims
	w.Issuer, w.Subject, w.Audience, w.Expires = c.Issuer, c.subject(), c.Audience, c.Expires.Unix()
	if !c.NotBefore.IsZero() {
		w.NotBefore = c.NotBefore.Unix()
	}
	w.Kubernetes.Namespace, w.Kubernetes.ServiceAccount.Name = c.Namespace, c.ServiceAccount
	w.Kubernetes.Pod.Name, w.Kubernetes.Pod.UID = c.PodName, c.PodUID
	payload, _ := json.Marshal(w) // Strings and numbers: it does not fail.
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"RS256","kid":"sandbox"}`)) + "." + enc.EncodeToString(payload) + "." + enc.EncodeToString([]byte("unsigned"))
}

func (c Claims) subject() string {
	if c.Subject != "" {
		return c.Subject
	}
	return "system:serviceaccount:" + c.Namespace + ":" + c.ServiceAccount
}

// decodeToken reads a token's claims and checks nothing.
func decodeToken(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errors.New("decode token: it has not three parts")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}, errors.New("decode token: its payload is not base64url")
	}
	var w wireClaims
	if err := json.Unmarshal(payload, &w); err != nil {
		return Claims{}, errors.New("decode token: its payload is not JSON")
	}
	if w.Issuer == "" || w.Subject == "" || len(w.Audience) == 0 || w.Expires == 0 {
		return Claims{}, errors.New("decode token: iss, sub, aud or exp is missing")
	}
	notBefore := time.Time{}
	if w.NotBefore != 0 {
		notBefore = time.Unix(w.NotBefore, 0).UTC()
	}
	return Claims{
		Issuer: w.Issuer, Subject: w.Subject, Audience: w.Audience, NotBefore: notBefore, Expires: time.Unix(w.Expires, 0).UTC(),
		Namespace: w.Kubernetes.Namespace, ServiceAccount: w.Kubernetes.ServiceAccount.Name,
		PodName: w.Kubernetes.Pod.Name, PodUID: w.Kubernetes.Pod.UID,
	}, nil
}

// serviceAccount returns the namespace and name in the subject.
func (c Claims) serviceAccount() (subject, bool) {
	p := strings.Split(c.Subject, ":")
	if len(p) != 4 || p[0] != "system" || p[1] != "serviceaccount" || p[2] == "" || p[3] == "" {
		return subject{}, false
	}
	return subject{p[2], p[3]}, true
}
