package prober

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/smithy-go"
)

func TestBlame(t *testing.T) {
	t.Parallel()
	api := func(code, text string) error {
		return fmt.Errorf("retrieve: %w", &smithy.GenericAPIError{Code: code, Message: text})
	}
	agent := func(code string) error { return api("", "[id]: ("+code+"): why, fault: client") }
	wi := wiring{mechanism: WebIdentity, token: tokenSpec{audience: "sts.amazonaws.com"}}
	vault := wiring{mechanism: WebIdentity, token: tokenSpec{audience: "vault"}}
	cc := wiring{mechanism: Container, token: tokenSpec{audience: "pods.eks.amazonaws.com"}}
	odd := wiring{mechanism: Container, token: tokenSpec{audience: "x"}}
	for _, tt := range []struct {
		name string
		w    wiring
		err  error
		want Plane
		code string
	}{
		{"role does not trust, or is gone", wi, api("AccessDenied", "Not authorized"), Trust, "AccessDenied"},
		{"no provider", wi, api("InvalidIdentityToken", "No OpenIDConnect provider found in your account for x"), Trust, "InvalidIdentityToken"},
		{"provider lacks the default audience", wi, api("InvalidIdentityToken", "Incorrect token audience"), Trust, "InvalidIdentityToken"},
		{"annotation asks for another audience", vault, api("InvalidIdentityToken", "Incorrect token audience"), ServiceAccount, "InvalidIdentityToken"},
		{"signature", wi, api("InvalidIdentityToken", "Couldn't retrieve verification key"), Kubernetes, "InvalidIdentityToken"},
		{"expired", wi, api("ExpiredTokenException", ""), Kubernetes, "ExpiredTokenException"},
		{"annotation is no ARN", wi, api("ValidationError", "x is invalid"), ServiceAccount, "ValidationError"},
		{"provider cannot be reached", wi, api("IDPCommunicationError", ""), AWS, "IDPCommunicationError"},
		{"STS throttles", wi, api("Throttling", ""), AWS, "Throttling"},
		{"STS does not answer", wi, errors.New("EOF"), AWS, ""},
		{"no association", cc, agent("ResourceNotFoundException"), Association, "ResourceNotFoundException"},
		{"role does not trust Pod Identity", cc, agent("AccessDeniedException"), Trust, "AccessDeniedException"},
		{"token is not one of the cluster", cc, agent("InvalidTokenException"), Kubernetes, "InvalidTokenException"},
		{"token of another volume", odd, agent("InvalidTokenException"), Pods, "InvalidTokenException"},
		{"token expired", cc, agent("ExpiredTokenException"), Kubernetes, "ExpiredTokenException"},
		{"agent refuses the token", cc, api("", "Service account token failed basic claim validations: x"), Kubernetes, ""},
		{"EKS Auth throttles", cc, agent("ThrottlingException"), AWS, "ThrottlingException"},
		{"nothing listens", cc, fmt.Errorf("dial: %w", &noAgentError{"n"}), Agent, ""},
		{"connection broke", cc, errors.New("EOF"), Agent, ""},
		{"no token", cc, fmt.Errorf("get: %w", &tokenError{errors.New("forbidden")}), Kubernetes, ""},
		{"no file", wi, &wiringError{"open x"}, Pods, ""},
	} {
		if got, code := blame(tt.w, tt.err); got != tt.want || code != tt.code {
			t.Errorf("%s: got %s %q, want %s %q", tt.name, got, code, tt.want, tt.code)
		}
	}
}

func TestBook(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 9, minute, 0, 0, time.UTC) }
	failed := func(started, ended int, change ...func(*Probe)) Probe {
		p := Probe{Namespace: "demo", ServiceAccount: "pod", Mechanism: Container, Started: at(started), Ended: at(ended), Failed: true, Proven: true}
		for _, c := range change {
			c(&p)
		}
		return p
	}
	open := []exposure{{namespace: "demo", serviceAccount: "pod", deleted: at(10)}}
	done := []exposure{{namespace: "demo", serviceAccount: "pod", deleted: at(10), restarted: at(20)}}
	rollback := []exposure{{namespace: "demo", serviceAccount: "pod", deleted: at(10), restarted: at(20), rollback: true}}
	alone := func(p *Probe) { p.OnItsOwn, p.Admitted = true, at(5) }
	for _, tt := range []struct {
		name      string
		p         Probe
		exposures []exposure
		want      Book
	}{
		{"fine", failed(1, 1, func(p *Probe) { p.Failed = false }), open, Fine},
		{"no delete", failed(11, 11), nil, Broken},
		{"before the delete", failed(8, 9), open, Broken},
		{"under way at the delete", failed(9, 10), open, Exposed},
		{"after it", failed(11, 11), open, Exposed},
		{"long after it, never restarted", failed(59, 59), open, Exposed},
		{"under way at the restart", failed(19, 21), done, Exposed},
		{"after the restart", failed(20, 20), done, Broken},
		{"another ServiceAccount", failed(11, 11, func(p *Probe) { p.ServiceAccount = "x" }), open, Broken},
		{"another namespace", failed(11, 11, func(p *Probe) { p.Namespace = "x" }), open, Broken},
		{"with web identity's variables", failed(11, 11, func(p *Probe) { p.Mechanism = WebIdentity }), open, Broken},
		{"bare", failed(11, 11, func(p *Probe) { p.Mechanism = None }), open, Broken},
		{"a Job's pod after a rollback's restart", failed(30, 30, alone), rollback, Exposed},
		{"a Job's pod after a crossing back's restart", failed(30, 30, alone), done, Broken},
		{"a Job's pod admitted after the restart", failed(30, 30, alone, func(p *Probe) { p.Admitted = at(21) }), rollback, Broken},
		{"a second delete", failed(30, 30), append(done, exposure{namespace: "demo", serviceAccount: "pod", deleted: at(29)}), Exposed},
		{"young node", failed(1, 1, func(p *Probe) { p.YoungNode = true }), nil, Young},
		{"unproven", failed(1, 1, func(p *Probe) { p.Proven = false }), nil, Unproven},
	} {
		if got := book(tt.p, tt.exposures); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	account, name := roleOf("arn:aws:sts::123456789012:assumed-role/reader/pod-1")
	for arn, want := range map[string]bool{
		"arn:aws:iam::123456789012:role/reader": true, "arn:aws:iam::123456789012:role/a/path/reader": true,
		"arn:aws:iam::210987654321:role/reader": false, "arn:aws:iam::123456789012:role/a-reader": false, "reader": false,
	} {
		if got := isRole(arn, account, name); got != want {
			t.Errorf("%s: got %t, want %t", arn, got, want)
		}
	}
}

func TestTokensAreDue(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		life, age time.Duration
		want      bool
	}{
		{time.Hour, 48 * time.Minute, false}, {time.Hour, 48*time.Minute + 1, true},
		{100 * time.Hour, 24 * time.Hour, false}, {100 * time.Hour, 24*time.Hour + 1, true},
	} {
		if got := (token{issued: issued, expires: issued.Add(tt.life)}).due(issued.Add(tt.age)); got != tt.want {
			t.Errorf("life %s, age %s: got %t, want %t", tt.life, tt.age, got, tt.want)
		}
	}
}
