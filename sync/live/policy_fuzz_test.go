package live_test

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/sync/live"
)

// FuzzParsePolicy: whatever a policy's author wrote, reading it ends, and what is kept is
// what tells the two mechanisms apart.
func FuzzParsePolicy(f *testing.F) {
	for _, text := range []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":["arn:aws:iam::123456789012:role/x"]}]}`,
		`{"Statement":{"Effect":"Deny","NotAction":["s3:*"],"NotResource":"*","Condition":{"StringLike":{"aws:userid":["*:x",1,true]}}}}`,
		`{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${oidc.eks.eu-west-1.amazonaws.com/id/X:sub}"}]}`,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"${"}]}`, `[]`, `{"Statement":null}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := live.ParsePolicy(text)
		if err != nil {
			return
		}
		for _, s := range all.Statements {
			if takes := s.Takes(live.ActionAssumeRole) || s.Takes(live.ActionTagSession) || s.Takes(live.ActionAgent); len(s.Session()) == 0 && (s.Deny && len(s.Conditions) > 0 || !takes) {
				t.Errorf("kept for nothing: %+v", s)
			}
			for _, c := range s.Conditions {
				if live.OfSession(c.Key) && len(s.Session()) == 0 {
					t.Errorf("condition %s is not told: %+v", c.Key, s)
				}
			}
		}
	})
}

// FuzzLike: the matcher agrees with a plain recursive one, and ends.
func FuzzLike(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**", "")
	f.Add("?", "é")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 24 || strings.Count(pattern, "*") > 4 {
			_ = live.Like(pattern, text)
			return
		}
		if got, want := live.Like(pattern, text), like([]rune(pattern), []rune(text)); got != want {
			t.Errorf("Like(%q, %q) = %t, want %t", pattern, text, got, want)
		}
	})
}

func like(p, t []rune) bool {
	switch {
	case len(p) == 0:
		return len(t) == 0
	case p[0] == '*':
		return like(p[1:], t) || len(t) > 0 && like(p, t[1:])
	case len(t) == 0:
		return false
	}
	return (p[0] == '?' || p[0] == t[0]) && like(p[1:], t[1:])
}
