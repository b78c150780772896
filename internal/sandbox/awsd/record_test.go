package awsd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// ask sends an unsigned Query request, which is refused and recorded.
func ask(s *Server, action, comment string) {
	form := url.Values{"Action": {action}, "Version": {stsVersion}, "Comment": {comment}}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	s.Handler().ServeHTTP(httptest.NewRecorder(), r)
}

func TestRecordIsClipped(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	ask(s, "GetCallerIdentity", strings.Repeat("é", 100_000))
	ask(s, strings.Repeat("x", 100_000), "")
	ask(s, "GetCallerIdentity", "short")
	calls, _ := s.Calls(0)
	for _, c := range calls {
		for _, text := range []string{c.Params, c.Operation, c.Resource} {
			if len(text) > 2<<10 || !utf8.ValidString(text) {
				t.Errorf("call %d: %d bytes of text, valid %v, want at most 2048 bytes of UTF-8", c.Seq, len(text), utf8.ValidString(text))
			}
		}
	}
	if got, want := calls[2].Params, "Comment=short"; got != want {
		t.Errorf("short parameters: got %q, want %q", got, want)
	}
}

func TestRecordForgetsTheOldest(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	for i := range mostCalls {
		s.calls = append(s.calls, Call{Seq: i + 1})
	}
	for range 3 {
		ask(s, "GetCallerIdentity", "")
	}
	for _, tt := range []struct{ since, calls, first int }{
		{0, mostCalls, 4},
		{2, mostCalls, 4},
		{3, mostCalls, 4},
		{4, mostCalls - 1, 5},
		{mostCalls + 2, 1, mostCalls + 3},
		{mostCalls + 3, 0, 0},
		{mostCalls + 99, 0, 0},
	} {
		t.Run(fmt.Sprint(tt.since), func(t *testing.T) {
			calls, cursor := s.Calls(tt.since)
			first := 0
			if len(calls) > 0 {
				first = calls[0].Seq
			}
			if len(calls) != tt.calls || first != tt.first || cursor != mostCalls+3 {
				t.Errorf("Calls(%d) = %d calls from %d on, cursor %d, want %d from %d, %d", tt.since, len(calls), first, cursor, tt.calls, tt.first, mostCalls+3)
			}
		})
	}
}
