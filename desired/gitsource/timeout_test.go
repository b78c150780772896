package gitsource_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// stalling are servers that never finish: each holds a look up in its own way.
func stalling(t *testing.T, f *fleet) map[string]http.HandlerFunc {
	t.Helper()
	behind, err := url.Parse(f.serve(t, gitd.Options{}).URL)
	f.do(t, err)
	real := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = behind.Scheme, behind.Host
		r.Out.URL.Path = behind.Path + r.In.URL.Path
	}, ErrorHandler: func(http.ResponseWriter, *http.Request, error) {}}
	stall := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	return map[string]http.HandlerFunc{
		"no headers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no listing": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			stall(w, r)
		},
		"no pack": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				real.ServeHTTP(w, r)
				return
			}
			_, _ = w.Write([]byte("0008NAK\n"))
			stall(w, r)
		},
	}
}

func TestSilentServers(t *testing.T) {
	t.Parallel()
	for name, handler := range stalling(t, newFleet(t)) {
		for _, tt := range []struct {
			say    string
			limits gitsource.Limits
		}{
			{"raise Silence", gitsource.Limits{Silence: 100 * time.Millisecond, Time: time.Hour}},
			{"raise Time", gitsource.Limits{Silence: time.Hour, Time: 100 * time.Millisecond}},
		} {
			t.Run(name+"/"+tt.say, func(t *testing.T) {
				t.Parallel()
				server := httptest.NewServer(handler)
				t.Cleanup(server.Close)
				src := open(t, gitsource.Options{URL: server.URL, Ref: "main", Limits: tt.limits})
				_, _, err := src.Latest(t.Context())
				if !errors.Is(err, gitsource.ErrTimeout) || remedy.Of(err) != remedy.Retry || !strings.Contains(errorText(err), tt.say) {
					t.Errorf("Latest = %v (remedy %v), want %v saying %q (remedy retry)", err, remedy.Of(err), gitsource.ErrTimeout, tt.say)
				}
			})
		}
		t.Run(name+"/cancelled", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cancel()
				handler(w, r)
			}))
			t.Cleanup(server.Close)
			if _, _, err := open(t, gitsource.Options{URL: server.URL, Ref: "main"}).Latest(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Latest = %v, want %v", err, context.Canceled)
			}
		})
	}
}

// TestServerThatDrips never falls silent for long, and never ends.
func TestServerThatDrips(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for drop := "001e# service=git-upload-pack\n0000fff0"; ; drop = "x" { // one long line
			if _, err := w.Write([]byte(drop)); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	}))
	t.Cleanup(server.Close)
	src := open(t, gitsource.Options{URL: server.URL, Ref: "main", Limits: gitsource.Limits{Time: 200 * time.Millisecond}})
	if _, _, err := src.Latest(t.Context()); !errors.Is(err, gitsource.ErrTimeout) || !strings.Contains(errorText(err), "raise Time") {
		t.Errorf("Latest = %v, want %v saying to raise Time", err, gitsource.ErrTimeout)
	}
}
