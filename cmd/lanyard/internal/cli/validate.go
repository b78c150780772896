package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/report"
)

func newValidate(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
	)
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check that Git's files are well formed",
		Long: `Check the files of a working tree or a repository, without an account or a cluster.

All mistakes are printed at once, each as file:line:column: what is wrong: what to write
instead. With --config the operator's configuration is checked too, and its cluster's
templates are expanded.`,
		Example: `  lanyard validate --path fleet
  lanyard validate --repo https://github.com/example/fleet --ref main --path fleet
  lanyard validate --path fleet --config lanyard.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			problems, counts, err := validate(cmd, &w, world, talk)
			if err != nil {
				return err
			}
			if output == "json" {
				return printProblems(world, problems)
			}
			for _, p := range problems {
				fmt.Fprintln(world.Stdout, printable(p.Error()))
			}
			if n := len(problems); n > 0 {
				talk.say("%d %s; nothing with a mistake is accepted", n, plural(n, "mistake"))
				return &exit{code: exitFailed}
			}
			if counts.Mappings+counts.Defaults+counts.Waivers == 0 && !onlyConfiguration(&w) {
				talk.say("no document of lanyard's was found: is this the right path?")
			}
			if onlyConfiguration(&w) {
				_, err = fmt.Fprintf(world.Stdout, "valid: %s\n", w.config)
				return err
			}
			_, err = fmt.Fprintf(world.Stdout, "valid: %d %s, %d %s, %d of defaults, %d %s, %d of other kinds skipped\n",
				counts.Files, plural(counts.Files, "file"), counts.Mappings, plural(counts.Mappings, "mapping"), counts.Defaults, counts.Waivers, plural(counts.Waivers, "waiver"), counts.Skipped)
			return err
		},
	}
	w.wanted(cmd)
	w.rules(cmd)
	format(cmd, &output, "text", "json")
	return cmd
}

// onlyConfiguration reports whether nothing but a configuration is to be checked.
func onlyConfiguration(w *where) bool { return w.config != "" && w.repo == "" && len(w.paths) == 0 }

// printable makes a line safe for a terminal, and for a CI log that takes lines which
// begin with :: for commands.
func printable(line string) string {
	line = report.Printable(line)
	if strings.HasPrefix(line, "::") {
		line = "./" + line
	}
	return line
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// validate collects the mistakes; its error is one of reading, not of writing.
func validate(cmd *cobra.Command, w *where, world World, talk *voice) (desired.Errors, desired.Counts, error) {
	var problems desired.Errors
	c, err := w.configuration()
	if mistakes, ok := errors.AsType[desired.Errors](err); ok {
		problems = append(problems, mistakes...)
	} else if err != nil {
		return nil, desired.Counts{}, err
	}
	if onlyConfiguration(w) && (c == nil || c.Source.URL == "") {
		return problems, desired.Counts{}, nil
	}
	from, err := w.desired(world, c)
	if err != nil {
		return nil, desired.Counts{}, err
	}
	talk.progress("reading Git")
	git, err := app.OpenGit(from)
	if err != nil {
		return nil, desired.Counts{}, err
	}
	defer git.Close()
	repo, err := git.Repository(cmd.Context())
	if err == nil {
		err = repo.Check()
	}
	if err == nil && c != nil {
		_, err = repo.For(placeholder(c.Cluster))
	}
	if mistakes, ok := errors.AsType[desired.Errors](err); ok {
		return append(problems, mistakes...), desired.Counts{}, nil
	}
	if err != nil {
		return nil, desired.Counts{}, err
	}
	return problems, repo.Counts(), nil
}

// placeholder is a cluster of this name whose account and Region are not known.
func placeholder(name string) identity.Cluster {
	return identity.Cluster{Name: name, Region: "eu-west-1", Account: "123456789012", Partition: "aws"}
}

// printProblems writes the mistakes as JSON.
func printProblems(world World, problems desired.Errors) error {
	type problem struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		What    string `json:"what"`
		Instead string `json:"instead"`
	}
	out := make([]problem, len(problems))
	for i, p := range problems {
		out[i] = problem{p.At.File, p.At.Line, p.At.Column, p.What, p.Instead}
	}
	enc := json.NewEncoder(world.Stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"valid": len(out) == 0, "mistakes": out}); err != nil {
		return err
	}
	if len(out) > 0 {
		return &exit{code: exitFailed}
	}
	return nil
}
