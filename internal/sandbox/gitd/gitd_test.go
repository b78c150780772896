package gitd_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// git runs the real git, apart from the configuration of whoever runs the test.
func git(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git binary to compare with")
	}
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustGit(t *testing.T, args ...string) string {
	t.Helper()
	out, err := git(t, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fleet makes a repository of two commits.
func fleet(t *testing.T) (r *gitd.Repo, first, second string) {
	t.Helper()
	r, err := gitd.Init(filepath.Join(t.TempDir(), "fleet.git"))
	if err != nil {
		t.Fatal(err)
	}
	first, err = r.Import("main", fstest.MapFS{
		"README.md":       {Data: []byte("fleet\n")},
		"demo/a.yaml":     {Data: []byte("a: 1\n")},
		"demo/sub/b.yaml": {Data: []byte("b: 1\n")},
		"demo.yaml":       {Data: []byte("sorts before demo/\n")},
	}, gitd.By(noon))
	if err != nil {
		t.Fatal(err)
	}
	second, err = r.Commit(gitd.Change{
		Branch: "main",
		Write:  map[string]string{"demo/a.yaml": "a: 2\n"},
		Link:   map[string]string{"demo/link.yaml": "a.yaml"},
		Delete: []string{"demo/sub"},
		By:     gitd.By(noon.Add(time.Minute)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, first, second
}

func TestCommitsAreTheSameOnEveryRun(t *testing.T) {
	t.Parallel()
	_, first, second := fleet(t)
	want := [2]string{"bdee811e3463b75ae92c29c2ce181d837f73a416", "f82fa823275526a78a8f9cb5aae843dbdd0998fc"}
	if got := [2]string{first, second}; got != want {
		t.Errorf("commits of the fleet = %q, want %q", got, want)
	}
}

func TestGitReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	r, first, second := fleet(t)
	tag, err := r.AnnotatedTag("v1", first, gitd.By(noon))
	if err != nil {
		t.Fatal(err)
	}
	if out := mustGit(t, "-C", r.Dir, "fsck", "--strict"); strings.Contains(out, "error") {
		t.Errorf("git fsck --strict says %q", out)
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"first tree", []string{"ls-tree", "-r", "--name-only", first}, "README.md\ndemo.yaml\ndemo/a.yaml\ndemo/sub/b.yaml\n"},
		{"second tree", []string{"ls-tree", "-r", "--name-only", second}, "README.md\ndemo.yaml\ndemo/a.yaml\ndemo/link.yaml\n"},
		{"content", []string{"show", second + ":demo/a.yaml"}, "a: 2\n"},
		{"link", []string{"cat-file", "-p", second + ":demo/link.yaml"}, "a.yaml"},
		{"parent", []string{"rev-parse", second + "^"}, first + "\n"},
		{"head", []string{"rev-parse", "HEAD"}, second + "\n"},
		{"tag", []string{"rev-parse", "v1", "v1^{}"}, tag + "\n" + first + "\n"},
	} {
		if got := mustGit(t, append([]string{"-C", r.Dir}, tt.args...)...); got != tt.want {
			t.Errorf("%s: git %s = %q, want %q", tt.name, strings.Join(tt.args, " "), got, tt.want)
		}
	}
}

func TestBranches(t *testing.T) {
	t.Parallel()
	r, first, second := fleet(t)
	if err := r.SetBranch("main", first); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Head("main"); err != nil || got != first {
		t.Errorf("head after the branch was forced back = %q, %v, want %q", got, err, first)
	}
	if err := r.SetBranch("other", second); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteBranch("other"); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Head("other"); err == nil {
		t.Errorf("head of a deleted branch = %q, want an error", got)
	}
	if err := r.SetBranch("main", strings.Repeat("0", 40)); err == nil {
		t.Error("branch set to a commit that does not exist: no error")
	}
	if got, err := r.Head("main"); err != nil || got != first {
		t.Errorf("head after a refused move = %q, %v, want %q", got, err, first)
	}
}

func TestChangesThatCannotBe(t *testing.T) {
	t.Parallel()
	r, _, second := fleet(t)
	for _, tt := range []struct {
		name   string
		change gitd.Change
	}{
		{"delete what is not there", gitd.Change{Delete: []string{"nope"}}},
		{"write outside", gitd.Change{Write: map[string]string{"../x": ""}}},
		{"link at the root", gitd.Change{Link: map[string]string{".": "x"}}},
		{"file under a file", gitd.Change{Write: map[string]string{"README.md/x": ""}}},
	} {
		tt.change.Branch, tt.change.By = "main", gitd.By(noon)
		if got, err := r.Commit(tt.change); err == nil {
			t.Errorf("%s: commit = %q, want an error", tt.name, got)
		}
		if got, err := r.Head("main"); err != nil || got != second {
			t.Errorf("%s: head = %q, %v, want it unmoved on %q", tt.name, got, err, second)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git binary to clone with")
	}
	for name, backend := range map[string]string{"by itself": "", "by git http-backend": binary} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, first, second := fleet(t)
			s, err := gitd.Serve(t.Context(), r, gitd.Options{Token: "s3cr3t", Git: backend})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()

			if out, err := git(t, "clone", s.URL, filepath.Join(t.TempDir(), "no")); err == nil {
				t.Errorf("clone without a token: no error\n%s", out)
			}
			withToken := strings.Replace(s.URL, "http://", "http://x-access-token:s3cr3t@", 1)
			dir := filepath.Join(t.TempDir(), "yes")
			mustGit(t, "clone", "--quiet", withToken, dir)
			if got := mustGit(t, "-C", dir, "rev-parse", "HEAD"); got != second+"\n" {
				t.Errorf("HEAD of the clone = %q, want %q", got, second)
			}
			if err := r.SetBranch("main", first); err != nil {
				t.Fatal(err)
			}
			if got := mustGit(t, "ls-remote", withToken, "refs/heads/main"); !strings.HasPrefix(got, first) {
				t.Errorf("main after the branch was forced back = %q, want %q", got, first)
			}
			if out, err := git(t, "-C", dir, "push", withToken, "HEAD:refs/heads/x"); err == nil {
				t.Errorf("push: no error\n%s", out)
			}
		})
	}
}

func TestServerRecords(t *testing.T) {
	t.Parallel()
	r, _, _ := fleet(t)
	s, err := gitd.Serve(t.Context(), r, gitd.Options{Token: "s3cr3t"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	get := func(path string, auth func(*http.Request)) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		auth(req)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	const listing = "/info/refs?service=git-upload-pack"
	get(listing, func(*http.Request) {})
	get(listing, func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") })
	get(listing, func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3cr3t") })
	get(listing, func(r *http.Request) { r.SetBasicAuth("anyone", "s3cr3t") })
	get("/HEAD", func(r *http.Request) { r.SetBasicAuth("anyone", "s3cr3t") })
	want := []gitd.Request{
		{Method: "GET", Path: "/info/refs", Query: "service=git-upload-pack", Status: 401},
		{Method: "GET", Path: "/info/refs", Query: "service=git-upload-pack", Status: 401},
		{Method: "GET", Path: "/info/refs", Query: "service=git-upload-pack", Status: 200},
		{Method: "GET", Path: "/info/refs", Query: "service=git-upload-pack", Status: 200},
		{Method: "GET", Path: "/HEAD", Status: 403},
	}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	s.Forget()
	if got := s.Requests(); len(got) != 0 {
		t.Errorf("requests after Forget = %v, want none", got)
	}
}
