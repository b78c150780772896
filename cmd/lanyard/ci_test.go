package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/sandbox/hubd"
	"github.com/lanyard-io/lanyard/sync/live"
)

// needs skips a test where a command of the recipes is missing.
func needs(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			t.Skipf("no %s to run the recipe with", c)
		}
	}
}

// recipe reads a file of examples/ci.
func recipe(t *testing.T, name string, into any) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/ci/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(text)
}

// fleetOfCI is a repository whose main holds the example fleet and its live world, with a
// branch for each change, and for each the commit that merging makes.
type fleetOfCI struct {
	t      *testing.T
	origin string
	work   string
}

const (
	flipped = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata:\n  name: s3-reader\n  namespace: demo\nspec:\n  mechanism: pod-identity\n  adopt: [trust]\n"
	rolled  = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata:\n  name: s3-reader\n  namespace: demo\nspec:\n  mechanism: pod-identity\n  roleARN: arn:aws:iam::210987654321:role/theirs\n"
)

func newFleetOfCI(t *testing.T) *fleetOfCI {
	t.Helper()
	f := &fleetOfCI{t: t, origin: filepath.Join(t.TempDir(), "origin.git"), work: filepath.Join(t.TempDir(), "work")}
	f.git("", "init", "--quiet", "--bare", "-b", "main", f.origin)
	f.git("", "clone", "--quiet", f.origin, f.work)
	f.git(f.work, "checkout", "--quiet", "-b", "main")
	if err := os.CopyFS(filepath.Join(f.work, "fleet"), os.DirFS("../../examples/fleet")); err != nil {
		t.Fatal(err)
	}
	f.write("live.yaml", string(examples.Live))
	f.git(f.work, "add", "-A")
	f.git(f.work, "commit", "--quiet", "-m", "fleet")
	f.git(f.work, "push", "--quiet", "origin", "main")
	for branch, change := range map[string][2]string{
		"flip": {"fleet/demo/s3-reader.yaml", flipped}, "broken": {"fleet/demo/s3-reader.yaml", "kind: [\n"},
		"role": {"fleet/demo/s3-reader.yaml", rolled}, "nothing": {"README.md", "Nothing of lanyard's.\n"},
	} {
		f.git(f.work, "checkout", "--quiet", "-b", branch, "main")
		f.write(change[0], change[1])
		f.git(f.work, "add", "-A")
		f.git(f.work, "commit", "--quiet", "-m", branch)
		f.git(f.work, "checkout", "--quiet", "-b", "merge-of-"+branch, "main")
		f.git(f.work, "merge", "--quiet", "--no-ff", "--no-edit", branch)
		f.git(f.work, "push", "--quiet", "origin", branch, "merge-of-"+branch)
	}
	return f
}

// git runs the real git, apart from the configuration of whoever runs the test.
func (f *fleetOfCI) git(dir string, args ...string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, gitEnvironment()
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func gitEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}
}

func (f *fleetOfCI) write(name, content string) {
	f.t.Helper()
	name = filepath.Join(f.work, name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// clone is what a pipeline checks out.
func (f *fleetOfCI) clone(branch string, depth int) string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), "checkout")
	args := []string{"clone", "--quiet", "--branch", branch}
	if depth > 0 {
		args = append(args, "--depth", strconv.Itoa(depth))
	}
	f.git("", append(args, "file://"+f.origin, dir)...)
	return dir
}

// bash runs a step as the hosts do, and returns its exit code.
func bash(t *testing.T, dir, script string, env map[string]string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, gitEnvironment()
	for _, key := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, key+"="+env[key])
	}
	data, err := cmd.CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), string(data)
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, string(data)
}

func contentOf(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// isSARIF checks what an upload would be refused for.
func isSARIF(t *testing.T, text string) {
	t.Helper()
	var log struct {
		Version string
		Runs    []struct{ Results []any }
	}
	if err := json.Unmarshal([]byte(text), &log); err != nil || log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Errorf("SARIF: %v, version %q, %d runs", err, log.Version, len(log.Runs))
	}
}

// liveDaemon is a daemon that shows its snapshot, taken just now, to the bearer of a token.
func liveDaemon(t *testing.T, token string) string {
	t.Helper()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/snapshot" || r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		now := f
		now.TakenAt = time.Now()
		text, err := now.EncodeJSON()
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// workflow is what the recipe may have of GitHub's syntax.
// Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
type workflow struct {
	Name        string                         `yaml:"name"`
	On          map[string]map[string][]string `yaml:"on"`
	Permissions map[string]string              `yaml:"permissions"`
	Concurrency struct {
		Group  string `yaml:"group"`
		Cancel bool   `yaml:"cancel-in-progress"`
	} `yaml:"concurrency"`
	Jobs map[string]struct {
		RunsOn      string            `yaml:"runs-on"`
		Timeout     int               `yaml:"timeout-minutes"`
		Permissions map[string]string `yaml:"permissions"`
		Env         map[string]string `yaml:"env"`
		Steps       []actionStep      `yaml:"steps"`
	} `yaml:"jobs"`
}

type actionStep struct {
	Name string            `yaml:"name"`
	ID   string            `yaml:"id"`
	If   string            `yaml:"if"`
	Uses string            `yaml:"uses"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
	Run  string            `yaml:"run"`
}

// TestGitHubActionsRecipe checks what makes the workflow safe.
func TestGitHubActionsRecipe(t *testing.T) {
	t.Parallel()
	var w workflow
	text := recipe(t, "github-actions.yml", &w)
	if len(w.On) != 1 || w.On["pull_request"] == nil || len(w.Permissions) > 0 || len(w.Jobs) != 1 {
		t.Errorf("on %v, permissions %v, %d jobs; want pull_request alone, none, one", w.On, w.Permissions, len(w.Jobs))
	}
	job := w.Jobs["diff"]
	want := map[string]string{"contents": "read", "pull-requests": "write", "security-events": "write"}
	if diff := cmp.Diff(want, job.Permissions); diff != "" || job.Timeout == 0 || job.RunsOn == "" {
		t.Errorf("permissions of the job (-want +got):\n%s", diff)
	}
	pin := regexp.MustCompile(`^[\w-]+/[\w/-]+@[0-9a-f]{40}$`)
	for _, s := range job.Steps {
		if (s.Uses == "") == (s.Run == "") {
			t.Errorf("step %q runs and uses, or neither", s.Name)
		}
		// What a pull request names itself must not be written into a script:
		// https://docs.github.com/en/actions/concepts/security/script-injections
		if strings.Contains(s.Run, "${{") {
			t.Errorf("step %q writes an expression into its script", s.Name)
		}
		if s.Uses != "" && (!pin.MatchString(s.Uses) || !strings.Contains(text, s.Uses+" # v")) {
			t.Errorf("%s is not pinned to a commit, with its version beside it", s.Uses)
		}
		if strings.HasPrefix(s.Uses, "actions/checkout@") && (s.With["persist-credentials"] != "false" || s.With["fetch-depth"] != "2" || s.With["ref"] != "") {
			t.Errorf("checkout with %v", s.With)
		}
	}
}

// runner runs a job of GitHub Actions as far as its shell steps go.
type runner struct {
	t        *testing.T
	dir      string
	values   map[string]string // of expressions
	holds    map[string]bool   // conditions
	env      map[string]string // what the host sets
	skipped  []string
	code     int
	talk     string
	finished []string
}

var expression = regexp.MustCompile(`\$\{\{ (.*?) \}\}`)

func (r *runner) fill(text string) string {
	return expression.ReplaceAllStringFunc(text, func(m string) string {
		of := expression.FindStringSubmatch(m)[1]
		v, known := r.values[of]
		if !known {
			r.t.Fatalf("the recipe has an expression that the test does not know: %s", of)
		}
		return v
	})
}

func (r *runner) run(w workflow) {
	r.t.Helper()
	job := w.Jobs["diff"]
	output := filepath.Join(r.t.TempDir(), "output")
	r.env["GITHUB_OUTPUT"], r.env["GITHUB_STEP_SUMMARY"] = output, filepath.Join(r.dir, "..", "summary.md")
	for _, s := range job.Steps {
		if s.If != "" {
			holds, known := r.holds[s.If]
			if !known {
				r.t.Fatalf("the recipe has a condition that the test does not know: %s", s.If)
			}
			if !holds {
				r.skipped = append(r.skipped, s.Name)
				continue
			}
		}
		if s.Run == "" || s.Name == "Install lanyard" { // this test's is in PATH
			continue
		}
		env := maps.Clone(r.env)
		for _, from := range []map[string]string{job.Env, s.Env} {
			for key, value := range from {
				env[key] = r.fill(value)
			}
		}
		code, out := bash(r.t, r.dir, s.Run, env)
		r.talk += out
		if code != 0 {
			r.code = code
			return
		}
		r.finished = append(r.finished, s.Name)
		for line := range strings.Lines(contentOf(r.t, filepath.Dir(output), "output")) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && s.ID != "" {
				r.values["steps."+s.ID+".outputs."+key] = value
			}
		}
	}
}

// TestGitHubActionsRecipeRuns runs the steps of the workflow against a double of GitHub:
// one comment on a pull request, which the next run edits.
func TestGitHubActionsRecipeRuns(t *testing.T) {
	t.Parallel()
	needs(t, "git", "bash", "curl", "jq")
	var w workflow
	recipe(t, "github-actions.yml", &w)
	f := newFleetOfCI(t)
	hub, err := hubd.Serve(t.Context(), hubd.Options{Repository: "acme/fleet"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hub.Close() })
	hub.Grant("ghs_job", hubd.Token{Login: "github-actions[bot]", App: true, Pulls: hubd.Write})
	n := hub.Open(hubd.Pull{Title: "flip", Branch: "flip", Head: strings.Repeat("a", 40), Base: "main"})
	for i := range 101 { // the comment is on a later page
		hub.Say(n, "somebody", fmt.Sprintf("comment %d", i))
	}
	hub.Say(n, "somebody", "<!-- lanyard diff -->\nnot the job's") // to be left alone
	others := len(hub.Comments(n))
	daemon := liveDaemon(t, "reads-snapshots")
	job := func(branch, live string, fork bool) *runner {
		t.Helper()
		r := &runner{t: t, dir: f.clone("merge-of-"+branch, 2),
			values: map[string]string{"vars.LANYARD_LIVE || 'live.yaml'": live, "secrets.LANYARD_API_TOKEN": "reads-snapshots", "github.token": "ghs_job", "github.event.pull_request.number": strconv.Itoa(n)},
			holds: map[string]bool{
				"github.event.pull_request.head.repo.full_name == github.repository":                                     !fork,
				"hashFiles('lanyard.sarif') != '' && github.event.pull_request.head.repo.full_name == github.repository": !fork,
			},
			env: map[string]string{"GITHUB_API_URL": hub.URL, "GITHUB_REPOSITORY": "acme/fleet"},
		}
		r.run(w)
		return r
	}
	var id int64
	for _, tt := range []struct {
		branch, live string
		code         int
		say          []string // in the comment
	}{
		{"flip", "live.yaml", 0, []string{"demo/s3-reader"}},
		{"flip", daemon, 0, []string{"demo/s3-reader"}},
		{"nothing", daemon, 0, nil},
		{"role", "live.yaml", 2, []string{"210987654321"}},
		{"broken", "live.yaml", 1, []string{"fleet/demo/s3-reader.yaml"}},
		{"flip", "nowhere.yaml", 1, []string{"### lanyard: no answer", "    lanyard: read snapshot: open nowhere.yaml"}},
	} {
		r := job(tt.branch, tt.live, false)
		if r.code != tt.code || len(r.skipped) > 0 {
			t.Errorf("%s, %s: exit code %d, skipped %v, want %d:\n%s", tt.branch, tt.live, r.code, r.skipped, tt.code, r.talk)
			continue
		}
		all := hub.Comments(n)
		if len(all) != others+1 {
			t.Fatalf("%s, %s: %d comments, want %d", tt.branch, tt.live, len(all), others+1)
		}
		mine := all[others]
		if id == 0 {
			id = mine.ID
		}
		if mine.ID != id || !strings.HasPrefix(mine.Body, "<!-- lanyard diff -->\n### lanyard") {
			t.Errorf("%s, %s: comment %d (the first was %d):\n%s", tt.branch, tt.live, mine.ID, id, mine.Body)
		}
		summary := contentOf(t, filepath.Dir(r.dir), "summary.md")
		for _, say := range tt.say {
			if !strings.Contains(mine.Body, say) || !strings.Contains(summary, say) {
				t.Errorf("%s, %s: no %q in the comment or the summary:\n%s", tt.branch, tt.live, say, mine.Body)
			}
		}
		if sarif := contentOf(t, r.dir, "lanyard.sarif"); tt.live != "nowhere.yaml" {
			isSARIF(t, sarif)
		} else if sarif != "" {
			t.Error("findings of nothing are uploaded")
		}
	}
	hub.Forget()
	if r := job("flip", "live.yaml", true); r.code != 0 || !slices.Contains(r.skipped, "Comment") || len(hub.Requests()) > 0 || !strings.Contains(contentOf(t, filepath.Dir(r.dir), "summary.md"), "demo/s3-reader") {
		t.Errorf("from a fork: exit code %d, skipped %v, %v", r.code, r.skipped, hub.Requests())
	}
	hub.Revoke("ghs_job")
	if r := job("flip", "live.yaml", false); r.code == 0 || slices.Contains(r.finished, "Comment") {
		t.Errorf("with a token that does not count: exit code %d, %v", r.code, r.finished)
	}
}

// pipeline is what the recipe may have of GitLab's syntax.
// Source: https://docs.gitlab.com/ci/yaml/
type pipeline struct {
	Lanyard struct {
		Stage   string `yaml:"stage"`
		Image   string `yaml:"image"`
		Timeout string `yaml:"timeout"`
		Rules   []struct {
			If      string   `yaml:"if"`
			Changes []string `yaml:"changes"`
		} `yaml:"rules"`
		Variables map[string]string `yaml:"variables"`
		Before    []string          `yaml:"before_script"`
		Script    []string          `yaml:"script"`
		Artifacts struct {
			When     string   `yaml:"when"`
			ExposeAs string   `yaml:"expose_as"`
			Paths    []string `yaml:"paths"`
			Expire   string   `yaml:"expire_in"`
		} `yaml:"artifacts"`
	} `yaml:"lanyard"`
}

// notes is the little of GitLab's API that the recipe asks.
// Source: https://docs.gitlab.com/api/notes/#merge-requests
type notes struct {
	t     *testing.T
	token string

	mu   sync.Mutex // a process asks: nothing that Go sees orders its requests and the test
	all  []map[string]any
	next int
}

// bodies are the notes' texts, in order.
func (n *notes) bodies() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	texts := make([]string, 0, len(n.all))
	for _, note := range n.all {
		texts = append(texts, fmt.Sprint(note["body"]))
	}
	return texts
}

func (n *notes) add(author int, body string) map[string]any {
	n.next++
	note := map[string]any{"id": n.next, "author": map[string]any{"id": author}, "body": body}
	n.all = append(n.all, note)
	return note
}

func (n *notes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const at = "/api/v4/projects/42/merge_requests/7/notes"
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Header.Get("PRIVATE-TOKEN") != n.token {
		http.Error(w, `{"message":"401 Unauthorized"}`, http.StatusUnauthorized)
		return
	}
	var sent struct{ Body string }
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || sent.Body == "" || r.Header.Get("Content-Type") != "application/json" {
			n.t.Errorf("%s %s: %v, body %q as %s", r.Method, r.URL, err, sent.Body, r.Header.Get("Content-Type"))
		}
	}
	answer := func(code int, v any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	id, one := strings.CutPrefix(r.URL.Path, at+"/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/api/v4/user":
		answer(http.StatusOK, map[string]any{"id": 99, "username": "project_42_bot"})
	case r.Method == http.MethodGet && r.URL.Path == at:
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		from := min((page-1)*per, len(n.all))
		answer(http.StatusOK, n.all[from:min(from+per, len(n.all))])
	case r.Method == http.MethodPost && r.URL.Path == at:
		answer(http.StatusCreated, n.add(99, sent.Body))
	case r.Method == http.MethodPut && one:
		for _, note := range n.all {
			if fmt.Sprint(note["id"]) == id {
				note["body"] = sent.Body
				answer(http.StatusOK, note)
			}
		}
	default:
		n.t.Errorf("the recipe asks %s %s", r.Method, r.URL)
		http.NotFound(w, r)
	}
}

// TestGitLabRecipeRuns runs the script of the job against a double of GitLab's notes.
func TestGitLabRecipeRuns(t *testing.T) {
	t.Parallel()
	needs(t, "git", "bash", "curl", "jq")
	var p pipeline
	recipe(t, "gitlab-ci.yml", &p)
	job := p.Lanyard
	if len(job.Rules) != 1 || job.Rules[0].If != `$CI_PIPELINE_SOURCE == "merge_request_event"` || job.Artifacts.When != "always" || job.Variables["GIT_DEPTH"] != "0" {
		t.Errorf("rules %v, artefacts %v, variables %v", job.Rules, job.Artifacts, job.Variables)
	}
	f := newFleetOfCI(t)
	// main goes on: the pipeline of a merge request checks out its branch as it is.
	f.git(f.work, "checkout", "--quiet", "main")
	f.write("fleet/late/late-bird.yaml", "")
	f.git(f.work, "commit", "--quiet", "-am", "late-bird is gone")
	f.git(f.work, "push", "--quiet", "origin", "main")
	hub := &notes{t: t, token: "glpat-note"}
	for i := range 100 {
		hub.add(1, fmt.Sprintf("note %d", i))
	}
	hub.add(1, "<!-- lanyard diff -->\nsomebody else's")
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	for i, tt := range []struct {
		branch, token string
		code          int
		say           string
	}{
		{"flip", "glpat-note", 0, "demo/s3-reader"},
		{"flip", "glpat-note", 0, "demo/s3-reader"},
		{"broken", "glpat-note", 1, "fleet/demo/s3-reader.yaml"},
		{"role", "glpat-note", 2, "210987654321"},
		{"flip", "", 0, "210987654321"}, // of a fork: the note stays as it was
		{"flip", "wrong", 22, "210987654321"},
	} {
		dir := f.clone(tt.branch, 0)
		env := maps.Clone(job.Variables)
		maps.Copy(env, map[string]string{"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_API_V4_URL": server.URL + "/api/v4", "CI_PROJECT_ID": "42", "CI_MERGE_REQUEST_IID": "7", "LANYARD_NOTE_TOKEN": tt.token})
		delete(env, "LANYARD_VERSION")
		code, out := bash(t, dir, strings.Join(job.Script, "\n"), env)
		if code != tt.code {
			t.Errorf("run %d, %s: exit code %d, want %d:\n%s", i+1, tt.branch, code, tt.code, out)
			continue
		}
		bodies := hub.bodies()
		if len(bodies) != 102 {
			t.Fatalf("run %d, %s: %d notes, want 102", i+1, tt.branch, len(bodies))
		}
		body := bodies[101]
		if !strings.HasPrefix(body, "<!-- lanyard diff -->\n### lanyard") || !strings.Contains(body, tt.say) || strings.Contains(body, "late/late-bird") {
			t.Errorf("run %d, %s: note:\n%s", i+1, tt.branch, body)
		}
		isSARIF(t, contentOf(t, dir, "lanyard.sarif"))
		for _, name := range job.Artifacts.Paths {
			if contentOf(t, dir, name) == "" {
				t.Errorf("run %d, %s: no %s", i+1, tt.branch, name)
			}
		}
	}
}

// TestRecipesMindWhatIsCheckedOut: a branch that holds links or files where the recipes
// write reaches no file of the machine, and has no findings of its own shown.
func TestRecipesMindWhatIsCheckedOut(t *testing.T) {
	t.Parallel()
	needs(t, "git", "bash", "curl", "jq", "openssl")
	var w workflow
	recipe(t, "github-actions.yml", &w)
	var p pipeline
	recipe(t, "gitlab-ci.yml", &p)
	f := newFleetOfCI(t)
	for name, script := range map[string]string{
		"GitHub": w.Jobs["diff"].Steps[slices.IndexFunc(w.Jobs["diff"].Steps, func(s actionStep) bool { return s.ID == "compare" })].Run,
		"GitLab": strings.Join(p.Lanyard.Script, "\n"),
	} {
		dir := f.clone("flip", 0)
		outside := t.TempDir()
		for _, name := range []string{"report.md", "talk.txt", "comment.json", "comments.json", "note.json", "notes.json"} {
			if err := os.Symlink(filepath.Join(outside, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "lanyard.sarif"), []byte("forged"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, out := bash(t, dir, script, map[string]string{
			"GITHUB_OUTPUT": filepath.Join(dir, "..", "output"), "GITHUB_STEP_SUMMARY": filepath.Join(dir, "..", "summary.md"), "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
			"LANYARD_PATH": "fleet", "LANYARD_LIVE": "nowhere.yaml",
		})
		left, err := os.ReadDir(outside)
		if err != nil || len(left) > 0 || !strings.Contains(contentOf(t, dir, "report.md"), "no answer") {
			t.Errorf("%s: %v, %d files are written outside:\n%s", name, err, len(left), out)
		}
		if sarif := contentOf(t, dir, "lanyard.sarif"); sarif != "" {
			t.Errorf("%s: SARIF %q", name, sarif)
		}
		if before, _, _ := strings.Cut(out, "nowhere.yaml"); name == "GitHub" && !strings.Contains(before, "::stop-commands::") {
			t.Errorf("the runner takes commands from what is printed:\n%s", out)
		}
	}
	compare := w.Jobs["diff"]
	if _, all := compare.Env["LANYARD_API_TOKEN"]; all {
		t.Error("every step of the workflow has the token of the API")
	}
}

// TestPreCommitRecipeRuns runs the entries of the hooks.
func TestPreCommitRecipeRuns(t *testing.T) {
	t.Parallel()
	needs(t, "git", "bash")
	var c struct {
		Repos []struct {
			Repo  string `yaml:"repo"`
			Hooks []struct {
				ID            string   `yaml:"id"`
				Name          string   `yaml:"name"`
				Language      string   `yaml:"language"`
				Entry         string   `yaml:"entry"`
				Files         string   `yaml:"files"`
				PassFilenames bool     `yaml:"pass_filenames"`
				Stages        []string `yaml:"stages"`
				Verbose       bool     `yaml:"verbose"`
			} `yaml:"hooks"`
		} `yaml:"repos"`
	}
	recipe(t, "pre-commit-config.yaml", &c)
	f := newFleetOfCI(t)
	hooks := c.Repos[0].Hooks
	if len(hooks) != 2 || hooks[0].ID != "lanyard-validate" || hooks[1].ID != "lanyard-diff" || !slices.Equal(hooks[1].Stages, []string{"pre-push"}) {
		t.Fatalf("hooks %+v", hooks)
	}
	for _, h := range hooks {
		files := regexp.MustCompile(h.Files)
		if h.Language != "system" || h.PassFilenames || !files.MatchString("fleet/demo/s3-reader.yaml") || !files.MatchString("fleet/x.yml") || files.MatchString("README.md") || files.MatchString("fleet/x.yaml.md") {
			t.Errorf("hook %+v", h)
		}
	}
	for branch, want := range map[string][2]int{"flip": {0, 0}, "broken": {1, 1}, "role": {0, 2}, "nothing": {0, 0}} {
		dir := f.clone(branch, 0)
		for i, h := range hooks {
			if code, out := bash(t, dir, h.Entry, nil); code != want[i] {
				t.Errorf("%s on %s: exit code %d, want %d:\n%s", h.ID, branch, code, want[i], out)
			}
		}
	}
}

// TestPullRequestsPage runs what docs/pull-requests.md shows, where it stands: in a clone
// with the change checked out.
func TestPullRequestsPage(t *testing.T) {
	t.Parallel()
	needs(t, "git", "bash")
	text, err := os.ReadFile("../../docs/pull-requests.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := newFleetOfCI(t).clone("flip", 0)
	output, ran, quoted := "", 0, 0
	for _, b := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, line := range strings.Split(strings.TrimSpace(b[2]), "\n") {
			switch b[1] {
			case "sh":
				code, out := bash(t, dir, line, nil)
				want := 2 // it does something; not what --fail-on names
				if strings.Contains(line, "--fail-on") {
					want = 0
				}
				if code != want {
					t.Errorf("%s: exit code %d, want %d:\n%s", line, code, want, out)
				}
				output = out
				ran++
			case "text":
				if !strings.Contains(output, line) {
					t.Errorf("the page quotes %q, which the command does not print:\n%s", line, output)
				}
				quoted++
			}
		}
	}
	if ran < 5 || quoted < 3 {
		t.Errorf("%d commands and %d lines of output", ran, quoted)
	}
	for _, name := range []string{"github-actions.yml", "gitlab-ci.yml", "pre-commit-config.yaml"} {
		if !strings.Contains(string(text), "(../examples/ci/"+name+")") {
			t.Errorf("the page does not name %s", name)
		}
	}
}
