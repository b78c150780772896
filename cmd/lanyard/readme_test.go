package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/cmd/lanyard/internal/cli"
)

// TestREADME runs what README.md shows: its lanyard commands on the examples, the
// output that it quotes, and the mapping that it teaches.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("../..")
	lanyard := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := cli.Main(context.Background(), args, cli.World{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }})
		return out.String(), code
	}
	blocks := regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	output, ran := "", 0
	for _, b := range blocks {
		switch b[1] {
		case "sh":
			for _, line := range strings.Split(b[2], "\n") {
				if args, ok := strings.CutPrefix(line, "bin/lanyard "); ok {
					var code int
					if output, code = lanyard(strings.Fields(args)...); code == 1 {
						t.Errorf("%s: exit code 1:\n%s", line, output)
					}
					ran++
				}
			}
		case "":
			for _, line := range strings.Split(strings.TrimSpace(b[2]), "\n") {
				if !strings.Contains(output, strings.TrimSpace(line)) {
					t.Errorf("README quotes %q, which the command does not print", line)
				}
			}
		case "yaml":
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "mapping.yaml"), []byte(b[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, code := lanyard("validate", "--path", dir); code != 0 {
				t.Errorf("README's mapping is not valid:\n%s", out)
			}
			ran++
		case "console":
			for _, line := range strings.Split(strings.TrimSpace(b[2]), "\n") {
				checkFlags(t, line, lanyard)
			}
		}
	}
	if ran < 3 {
		t.Errorf("%d commands and files of README ran, want at least 3", ran)
	}
}

// checkFlags checks that the command and the flags of a line exist, without running it.
func checkFlags(t *testing.T, line string, lanyard func(...string) (string, int)) {
	t.Helper()
	fields := strings.Fields(strings.TrimPrefix(line, "$ "))
	if len(fields) < 2 || fields[0] != "lanyard" {
		t.Errorf("README shows %q, which is not a lanyard command", line)
		return
	}
	help, code := lanyard(fields[1], "--help")
	if code != 0 {
		t.Errorf("README shows `lanyard %s`, which does not exist", fields[1])
	}
	for _, f := range fields[2:] {
		if strings.HasPrefix(f, "-") && !strings.Contains(help, f) {
			t.Errorf("README shows `lanyard %s %s`, and there is no such flag", fields[1], f)
		}
	}
}
