package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/fleet"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

// TestMigrationProposed: of a fleet on IRSA a wave is proposed on a branch; plan shows it
// waiting from there; a lanyard that reads the branch moves it, and nobody else.
func TestMigrationProposed(t *testing.T) {
	asked(t)
	t.Parallel()
	m, _ := sized(t, fleet.Options{Small: true, Still: true})
	tree := t.TempDir()
	for name, text := range m.fleet.Files(fleet.IRSA) {
		name = filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", tree, "-c", "user.name=Ann", "-c", "user.email=ann@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	git("init", "--quiet", "--initial-branch=main")
	git("add", ".")
	git("commit", "--quiet", "--message=first")

	seen, config := filepath.Join(t.TempDir(), "live.json"), filepath.Join(t.TempDir(), "lanyard.yaml")
	reader, err := app.NewReader(t.Context(), m.options())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	look := func() *live.Snapshot {
		t.Helper()
		repo, err := desired.Parse(os.DirFS(tree), []string{"fleet"}, desired.Revision{})
		if err != nil {
			t.Fatal(err)
		}
		cluster, err := reader.Cluster(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		state, err := repo.For(cluster)
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := reader.Observe(t.Context(), state)
		if err != nil {
			t.Fatal(err)
		}
		return snapshot
	}
	facts, err := look().Facts().EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{seen: facts, config: []byte(operator)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lanyard := func(args ...string) (out, talk string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := map[string]string{"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com", "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com"}
		args = append(args, "--path", filepath.Join(tree, "fleet"), "--live", seen, "--config", config)
		if code := Main(t.Context(), args, World{Stdout: &stdout, Stderr: &stderr, Getenv: func(k string) string { return env[k] }}); code != exitDiffers {
			t.Fatalf("lanyard %s: exit code %d\n%s", args, code, stderr.String())
		}
		return stdout.String(), stderr.String()
	}
	_, talk := lanyard("propose", "--limit", "3", "--commit", "wave")
	var wave []string
	for line := range strings.Lines(talk) {
		if rest, found := strings.CutPrefix(line, "lanyard: proposed: "); found {
			wave = append(wave, strings.Fields(rest)[0])
		}
	}
	if slices.Sort(wave); len(wave) != 3 {
		t.Fatalf("proposed %v, want three\n%s", wave, talk)
	}
	git("checkout", "--quiet", "wave")
	order, _ := lanyard("plan", "--wave")
	for _, name := range wave {
		if !strings.Contains(order, name) {
			t.Errorf("%s does not wait to move:\n%s", name, order)
		}
	}

	o := m.lanyard()
	o.Desired = app.Desired{URL: tree, Ref: "wave"}
	syncer, err := app.NewSyncer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer syncer.Close()
	_, err = syncer.Rest(t.Context(), patience, func(r report.Round) {
		if err := m.halted(r); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if j := m.fleet.Judge(); len(j.Broken) > 0 || j.Requests == 0 {
		t.Errorf("%d requests for credentials, and broken: %v", j.Requests, j.Broken)
	}
	wave = slices.DeleteFunc(wave, func(name string) bool { return strings.HasPrefix(name, "legacy/") }) // it cannot use Pod Identity, and is taken back
	var moved []string
	for _, a := range look().Facts().Associations {
		moved = append(moved, a.Subject().String())
	}
	if slices.Sort(moved); !slices.Equal(moved, wave) || len(moved) < 2 {
		t.Errorf("on Pod Identity are %v, want %v", moved, wave)
	}
}
