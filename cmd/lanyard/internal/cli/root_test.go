package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

// TestInterrupted: Ctrl-C ends a command, whatever it waits for, and what ends it is said
// in one word. How soon is TestWithin's: here a busy machine has its say. It is not
// parallel: the AWS SDK reads the process's environment.
func TestInterrupted(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	dir := t.TempDir()
	fleet := filepath.Join(dir, "fleet")
	if err := os.Mkdir(fleet, 0o700); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1)
	hung := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	defer hung.Close()
	// The plugin waits for the end of the file that says that it has begun.
	mark := filepath.Join(dir, "mark")
	plugin := fmt.Sprintf(`{"exec":{"apiVersion":"client.authentication.k8s.io/v1","interactiveMode":"Never","command":"sh","args":["-c","touch %[1]s; while test -e %[1]s; do sleep 0.1; done"]}}`, mark)
	for _, tt := range []struct {
		name, user string
		begun      func() bool
	}{
		{"an API server that does not answer", `{}`, func() bool {
			select {
			case <-asked:
				return true
			default:
				return false
			}
		}},
		{"a credential plugin that does not end", plugin, func() bool { _, err := os.Stat(mark); return err == nil }},
	} {
		config := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(config, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],
			"clusters":[{"name":"x","cluster":{"server":"`+hung.URL+`","insecure-skip-tls-verify":true}}],"users":[{"name":"x","user":`+tt.user+`}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, talk lockedBuffer
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int, 1)
		go func() {
			code <- Main(ctx, []string{"diff", "--path", fleet, "--cluster", "x", "--kubeconfig", config},
				World{Stdout: &out, Stderr: &talk, Getenv: func(string) string { return "" }})
		}()
		for tick := time.NewTicker(10 * time.Millisecond); !tt.begun(); <-tick.C {
			if len(code) > 0 {
				t.Fatalf("%s: it ended before it was interrupted, with %q", tt.name, talk.String())
			}
		}
		start := time.Now()
		cancel()
		got := <-code
		if took := time.Since(start); got != exitFailed || talk.String() != "lanyard: interrupted\n" || out.String() != "" || took > 20*time.Second {
			t.Errorf("%s: exit %d after %s, %q, answer %q; want 1 soon, and no more than: interrupted", tt.name, got, took, talk.String(), out.String())
		}
		if err := os.Remove(mark); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

// TestWithin: a command ends by itself, or is left behind when its time is up.
func TestWithin(t *testing.T) {
	t.Parallel()
	own := errors.New("own")
	for _, tt := range []struct {
		name string
		run  func(context.Context) error
		want error
		took time.Duration
	}{
		{"ends by itself", func(context.Context) error { return own }, own, 0},
		{"ends in order", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(grace / 2); return own }, own, time.Minute + grace/2},
		{"hears nothing", func(context.Context) error { time.Sleep(time.Hour); return own }, context.Canceled, time.Minute + grace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer time.AfterFunc(time.Minute, cancel).Stop()
				start := time.Now()
				err := within(ctx, grace, tt.run)
				if took := time.Since(start); !errors.Is(err, tt.want) || took != tt.took {
					t.Errorf("got %v after %s, want %v after %s", err, took, tt.want, tt.took)
				}
				cancel()
				time.Sleep(2 * time.Hour) // so that what was left behind has ended
			})
		})
	}
}

// TestOrderly: only what ends itself is waited for.
func TestOrderly(t *testing.T) {
	t.Parallel()
	world := World{Stdout: os.Stdout, Stderr: os.Stderr, Getenv: func(string) string { return "" }}
	root := newRoot(world, newVoice(world))
	for _, tt := range []struct {
		args []string
		want bool
	}{{[]string{"run", "--config", "x"}, true}, {[]string{"sandbox"}, true}, {[]string{"diff"}, false}, {[]string{"nothing"}, false}, {nil, false}} {
		if got := orderly(root, tt.args); got != tt.want {
			t.Errorf("%v: got %t, want %t", tt.args, got, tt.want)
		}
	}
}

// TestHelpIsBare: every command's help names a switch by its name alone.
func TestHelpIsBare(t *testing.T) {
	t.Parallel()
	world := World{Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) string { return "" }}
	var ask func(cmd *cobra.Command)
	ask = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		if help := cmd.UsageString(); strings.Contains(help, "true|false") || !strings.Contains(help, "--help   ") {
			t.Errorf("%s: help is not as it should be:\n%s", cmd.CommandPath(), help)
		}
		for _, c := range cmd.Commands() {
			ask(c)
		}
	}
	root := newRoot(world, newVoice(world))
	ask(root)
}
