package test_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stageOf is one stage of the Dockerfile: its base, its name, and its instructions.
type stageOf struct {
	from, name string
	lines      [][2]string // instruction, the rest
}

// dockerfile parses what the Dockerfile uses of the format.
// Source: https://docs.docker.com/reference/dockerfile/
func dockerfile(t *testing.T) (stages []stageOf, args map[string]string) {
	t.Helper()
	args = map[string]string{}
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "../Dockerfile"), "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == "":
		case word == "FROM":
			f := slices.DeleteFunc(strings.Fields(rest), func(s string) bool { return strings.HasPrefix(s, "--") })
			s := stageOf{from: f[0]}
			if len(f) == 3 && f[1] == "AS" {
				s.name = f[2]
			}
			stages = append(stages, s)
		case len(stages) == 0 && word == "ARG":
			name, value, _ := strings.Cut(rest, "=")
			args[name] = value
		case len(stages) == 0:
			t.Fatalf("Dockerfile: %s before the first FROM", word)
		default:
			last := &stages[len(stages)-1]
			last.lines = append(last.lines, [2]string{word, strings.TrimSpace(rest)})
		}
	}
	return stages, args
}

// TestDockerfile: what is built from is there and whole, and what ships is the binary,
// authorities and time zones, as nobody in particular. No container engine runs here:
// that the image builds is for make image to show.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	stages, args := dockerfile(t)
	if len(stages) != 2 || stages[0].name != "build" || stages[1].from != "scratch" {
		t.Fatalf("stages %+v; want build and one from scratch", stages)
	}
	version := args["GO_VERSION"]
	if !strings.Contains(read(t, "../go.mod"), "\ntoolchain go"+version+"\n") || !strings.Contains(stages[0].from, "golang:${GO_VERSION}") {
		t.Errorf("built by %s with GO_VERSION %s, which is not go.mod's toolchain", stages[0].from, version)
	}
	var copied []string
	for _, l := range stages[0].lines {
		if l[0] != "COPY" {
			continue
		}
		f := strings.Fields(l[1])
		for _, source := range f[:len(f)-1] {
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("COPY %s: %v", l[1], err)
			}
			copied = append(copied, source)
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "../cmd/lanyard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(strings.TrimPrefix(path, "github.com/lanyard-io/lanyard/"), "/")
		if !slices.Contains(copied, top) {
			t.Errorf("the binary needs %s, and %s is not copied", path, top)
		}
	}
}

// TestDockerfileShips: the last stage.
func TestDockerfileShips(t *testing.T) {
	t.Parallel()
	stages, _ := dockerfile(t)
	last := stages[len(stages)-1]
	got := map[string][]string{}
	for _, l := range last.lines {
		got[l[0]] = append(got[l[0]], l[1])
	}
	var entry []string
	if err := json.Unmarshal([]byte(strings.Join(got["ENTRYPOINT"], "")), &entry); err != nil || !slices.Equal(entry, []string{"/lanyard"}) {
		t.Errorf("ENTRYPOINT %v (%v)", got["ENTRYPOINT"], err)
	}
	if d := cmp.Diff([]string{"65532:65532"}, got["USER"]); d != "" {
		t.Errorf("USER (-want +got)\n%s", d)
	}
	want := []string{
		"--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
		"--from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip",
		"--from=build /out/lanyard /lanyard",
	}
	if d := cmp.Diff(want, got["COPY"]); d != "" || !slices.Equal(got["ENV"], []string{"ZONEINFO=/zoneinfo.zip"}) {
		t.Errorf("ENV %v, COPY (-want +got)\n%s", got["ENV"], d)
	}
	if len(got["RUN"]) > 0 || len(got["CMD"]) > 0 {
		t.Errorf("a stage from scratch has no shell: RUN %v, CMD %v", got["RUN"], got["CMD"])
	}
	if !strings.Contains(strings.Join(got["LABEL"], ""), `org.opencontainers.image.revision="$REVISION"`) {
		t.Errorf("labels %v", got["LABEL"])
	}
}
