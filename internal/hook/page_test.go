package hook_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/hook"
)

func page(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPageNames: docs/api.md names every provider and every result.
func TestPageNames(t *testing.T) {
	t.Parallel()
	text := page(t)
	for _, p := range hook.Providers() {
		if !strings.Contains(text, "`/hook/"+string(p)+"`") {
			t.Errorf("docs/api.md does not name /hook/%s", p)
		}
	}
	for _, r := range hook.Results() {
		if !strings.Contains(text, "`"+string(r)+"`") {
			t.Errorf("docs/api.md does not name the result %s", r)
		}
	}
}

// TestPageExample runs the example of docs/api.md against the handler.
func TestPageExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "curl", "openssl", "date", "cut"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the example needs %s: %v", tool, err)
		}
	}
	_, rest, found := strings.Cut(page(t), "```sh\n")
	script, _, ends := strings.Cut(rest, "```")
	if !found || !ends {
		t.Fatal("docs/api.md has no example")
	}
	woken := make(chan struct{}, 2)
	server := httptest.NewServer(hook.New(hook.Options{
		Secrets: func(hook.Provider) [][]byte { return [][]byte{[]byte(secret)} },
		Wake:    func() { woken <- struct{}{} },
	}))
	defer server.Close()
	for key, want := range map[string]int{secret + "\n": 1, "another": 0} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
		cmd.Env = append(os.Environ(), "HOOK="+server.URL+"/hook/generic", "SECRET_FILE="+file, "no_proxy=*")
		out, err := cmd.CombinedOutput()
		if len(woken) != want || (err == nil) != (want == 1) {
			t.Errorf("with the secret %q the example woke %d times: %v\n%s", key, len(woken), err, out)
		}
		for len(woken) > 0 {
			<-woken
		}
	}
}

// TestPublished checks the examples that the schemes' owners publish.
// Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
// and https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func TestPublished(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider hook.Provider
		secret   string
		body     string
		header   http.Header
		now      time.Time
	}{
		{hook.GitHub, "It's a Secret to Everybody", "Hello, World!",
			header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), noon},
		{hook.GitLab, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"test": 2432232314}`,
			header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330",
				"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), time.Unix(1614265330, 0)},
	} {
		b := newBench()
		b.now, b.secrets[tt.provider] = tt.now, [][]byte{[]byte(tt.secret)}
		if code, saw := b.send(http.MethodPost, "/hook/"+string(tt.provider), tt.header, strings.NewReader(tt.body)); code != http.StatusAccepted {
			t.Errorf("%s: %d %s", tt.provider, code, saw)
		}
	}
}
