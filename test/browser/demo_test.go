package browser

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the demo as a person does, opens the page at the address that it prints,
// and reads the metrics at the other.
func TestDemo(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "lanyard")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/lanyard")
	build.Dir, build.Stderr = "../..", os.Stderr
	check(t, build.Run())
	demo := exec.Command(binary, "sandbox", "--scenario", "demo", "--keep")
	demo.Stderr = os.Stderr
	out, err := demo.StdoutPipe()
	check(t, err)
	check(t, demo.Start())
	t.Cleanup(func() { _ = demo.Process.Kill() })
	said := map[string]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for _, what := range []string{"page", "metrics"} {
			if m := regexp.MustCompile(`^ *` + what + ` +(http://\S+)`).FindStringSubmatch(lines.Text()); m != nil {
				said[what] = m[1]
			}
		}
		if strings.HasPrefix(lines.Text(), "AWS goes on until") {
			break
		}
	}
	if said["page"] == "" || said["metrics"] == "" {
		t.Fatalf("the demo names %v", said)
	}
	b := open(t, chrome(t), &world{url: said["page"]}, "", desktop, "light")
	if headline := eval[string](b, `document.querySelector('h1').textContent`); headline != "4 of 14 mappings drift, 1 is held" {
		t.Errorf("the page says %q", headline)
	}
	if n := eval[int](b, `document.querySelectorAll('#writes .write').length`); n < 3 {
		t.Errorf("the page has %d writes, want those of the demo", n)
	}
	b.calm()
	answer, err := http.Get(said["metrics"])
	check(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(t, err)
	if !strings.Contains(string(text), `lanyard_leader 1`) || !strings.Contains(string(text), `lanyard_finding{`) {
		t.Errorf("metrics: %d, %d bytes", answer.StatusCode, len(text))
	}
	check(t, demo.Process.Signal(os.Interrupt))
	ended := make(chan error, 1)
	go func() { _, _ = io.Copy(io.Discard, out); ended <- demo.Wait() }()
	select {
	case err := <-ended:
		check(t, err)
	case <-time.After(20 * time.Second):
		t.Error("the demo does not end when it is interrupted")
	}
}
