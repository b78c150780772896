package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/kubectl/pkg/cmd"
)

var (
	commandRE = regexp.MustCompile(`(?m)(?:^|[|]|[$]) *kubectl ([^|);&<>\n]*)`)
	commentRE = regexp.MustCompile(`(?m)(?:^|\s)#.*$`)
)

// TestDocs: each command of kubectl that README and docs give is one of kubectl's, with
// flags that it has.
func TestDocs(t *testing.T) {
	root := "../../.."
	found := 0
	check := func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, line := range commands(string(data)) {
			found++
			args := strings.Fields(line)
			command, rest, err := cmd.NewDefaultKubectlCommand().Find(args)
			if err == nil {
				err = command.ParseFlags(rest)
			}
			if err == nil && command.HasSubCommands() && !command.Flags().Changed("filename") && !command.Flags().Changed("kustomize") {
				err = errors.New("it names no command")
			}
			if err != nil {
				t.Errorf("%s: kubectl %s: %v", path, line, err)
			}
		}
		return nil
	}
	if err := filepath.WalkDir(filepath.Join(root, "docs"), check); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(root, "README.md"))
	if err == nil {
		err = check(filepath.Join(root, "README.md"), fs.FileInfoToDirEntry(info), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if found < 50 {
		t.Errorf("%d commands found; the search is broken", found)
	}
}

// commands are the lines of kubectl's in blocks and backquotes, without what follows in a
// pipe.
func commands(page string) (out []string) {
	page = strings.NewReplacer("\\\n", " ", "$(", "\n").Replace(page)
	add := func(text string) {
		for _, m := range commandRE.FindAllStringSubmatch(text, -1) {
			out = append(out, strings.TrimSpace(m[1]))
		}
	}
	for i, part := range strings.Split(page, "```") {
		if i%2 == 1 {
			add(commentRE.ReplaceAllString(part, ""))
			continue
		}
		for j, quoted := range strings.Split(part, "`") {
			if j%2 == 1 && strings.HasPrefix(quoted, "kubectl ") {
				add(quoted)
			}
		}
	}
	return out
}
