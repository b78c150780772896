package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate/outline"
)

func newPropose(world World, talk *voice) *cobra.Command {
	p := proposer{world: world, talk: talk}
	cmd := &cobra.Command{
		Use:   "propose [namespace/serviceaccount...]",
		Short: "Write the next wave to EKS Pod Identity into a working tree",
		Long: `Change mechanism: irsa to pod-identity for the next wave, in the files of a working tree.

The wave is taken from the workloads that Git declares irsa and that can move: the verdict
is eligible, nothing holds them, and they are settled on IRSA. They are in the order of what
a failed move would cost, and as many as the configuration lets move at a time
(migration.maxConcurrent and perNamespace; one without a configuration). Name workloads, or
give --namespace or --limit, to choose others. Who is left out is said on standard error,
with the reason.

Only the one word changes: comments, order, quotes and line ends stay byte for byte. A
mapping that takes its mechanism from IdentityDefaults gets a line of its own; defaults are
never changed, for they are others' too. What is shared in a file (an alias, an anchor, a
merge key) is refused, with what to write instead, and so is a mapping whose list of
clusters names more than this one, unless --all-clusters. The changed files are read again
first, and must say the same for every cluster but for that word.

Without --write or --commit the change is printed as a patch for git apply, and nothing is
written. --write changes the files, which must still be as they were read. --commit makes a
new branch from the commit that is checked out, with a message that says what moves, why,
what restarts and what was left out. It touches neither the files nor the index, runs no
hook and signs nothing. Pushing it is yours.

Exit code 0: nothing to propose, and nothing is unread. 2: there is a proposal, or something
could not be changed or read. 1: no answer, or a workload that was named cannot be proposed.`,
		Example: `  # What would the next wave change?
  lanyard propose --path fleet --live live.yaml

  # On a branch, to be pushed and reviewed.
  lanyard propose --path fleet --cluster irsa-lab --config lanyard.yaml --commit pod-identity-wave-1
  git push origin pod-identity-wave-1

  # The five that would be missed least, of one namespace, in the files.
  lanyard propose --path fleet --cluster irsa-lab --namespace demo --limit 5 --write

  # This one, through git.
  lanyard propose demo/s3-reader --path fleet --live live.yaml --all-clusters | git apply`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&p.where.paths, "path", nil, "directory of a working tree (repeatable)")
	p.where.source(cmd)
	p.where.world(cmd)
	p.where.rules(cmd)
	f.StringArrayVar(&p.namespaces, "namespace", nil, "only workloads of this `namespace` (repeatable)")
	f.IntVar(&p.limit, "limit", 0, "at most so `many`, of whatever namespace (default: as many as the configuration lets move at a time)")
	f.BoolVar(&p.allClusters, "all-clusters", false, "also mappings whose list of clusters names more than this one: all of them move")
	f.BoolVar(&p.write, "write", false, "change the files")
	f.StringVar(&p.branch, "commit", "", "commit the change on this new `branch`")
	return cmd
}

// proposer is one run of propose.
type proposer struct {
	world              World
	talk               *voice
	where              where
	namespaces         []string
	limit              int
	allClusters, write bool
	branch             string

	standing
	editor  *app.Editor
	refused map[desired.Position]error // mappings that cannot be changed alone
}

func (p *proposer) run(ctx context.Context, args []string) error {
	names, err := p.asked(args)
	if err != nil {
		return err
	}
	o, err := p.where.options(p.world, p.talk)
	if err != nil {
		return err
	}
	o.Desired.Dirs = p.where.paths
	p.talk.progress("reading Git")
	git, err := app.OpenGit(o.Desired)
	if err != nil {
		return err
	}
	defer git.Close()
	if p.state, p.snapshot, err = look(ctx, &p.where, p.world, o, git); err != nil {
		return err
	}
	p.ruled(o.Config)
	if p.branch != "" && p.state.Revision.Dirty {
		return fmt.Errorf("the files differ from the commit that is checked out (%s), and --commit would build on that: commit or stash them first, or use --write", p.state.Revision)
	}
	if p.editor, err = app.NewEditor(ctx, git); err != nil {
		return err
	}
	var flips []desired.Flip
	for _, m := range p.state.Mappings {
		if m.Mechanism == identity.IRSA {
			flips = append(flips, flip(m))
		}
	}
	p.refused = p.editor.Refusals(flips)
	settings := app.Outline(p.config, p.policy)
	plan := outline.New(p.state, p.snapshot, settings)
	proposal, err := plan.Propose(settings.Pace, outline.Choice{Namespaces: p.namespaces, Names: names, Limit: p.limit, Unfit: p.unfit})
	if err != nil {
		return err
	}
	p.leftOut(proposal)
	if len(names) > 0 && slices.ContainsFunc(proposal.Left, func(l outline.Left) bool { return !l.Next }) {
		return errors.New("not every workload that was named can be proposed: leave those out, and the rest can")
	}
	for _, gap := range plan.Gaps {
		p.talk.say("could not be read: %s", gap)
	}
	if len(proposal.Take) == 0 {
		p.talk.say("nothing to propose: %d that Git declares irsa are left out", len(proposal.Left))
		return differs(proposal.Refused() || len(plan.Gaps) > 0)
	}
	if err := p.put(ctx, proposal, settings.Pace.Pause); err != nil {
		return err
	}
	return differs(true)
}

// asked refuses flags that do not go together.
func (p *proposer) asked(args []string) ([]identity.Subject, error) {
	names, err := subjectsOf(args)
	switch {
	case err != nil:
		return nil, err
	case len(p.where.paths) == 0:
		return nil, errors.New("nothing to change: name the directory of a working tree with --path")
	case p.write && p.branch != "":
		return nil, errors.New("--write changes the files and --commit leaves them as they are: use one")
	case len(names) > 0 && len(p.namespaces) > 0:
		return nil, errors.New("workloads that are named need no --namespace: leave it out")
	case p.limit < 0:
		return nil, fmt.Errorf("--limit %d is below zero: write how many, or leave it out", p.limit)
	}
	return names, nil
}

// unfit says why Git cannot be changed for a workload that could move.
func (p *proposer) unfit(w outline.Workload) string {
	m, _ := p.state.Mapping(identity.Subject{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount})
	if c := p.editor.Clusters(m); !p.allClusters && slices.ContainsFunc(c, func(name string) bool { return name != p.state.Cluster }) {
		return fmt.Sprintf("%s: its clusters are %s, and every one of them would move it, by what is known of %s alone: give --all-clusters, or a mapping for %s of its own", m.At, strings.Join(c, ", "), p.state.Cluster, p.state.Cluster)
	}
	if err := p.refused[m.At]; err != nil {
		return err.Error()
	}
	return ""
}

func flip(m desired.Mapping) desired.Flip {
	return desired.Flip{At: m.At, To: identity.PodIdentity}
}

// mostTold bounds how many of those that are left out are told.
const mostTold = 50

func (p *proposer) leftOut(proposal outline.Proposal) {
	for i, l := range proposal.Left {
		if i == mostTold {
			p.talk.say("and %d more are left out: `lanyard plan` lists them", len(proposal.Left)-i)
			return
		}
		p.talk.say("left out: %s: %s", l.Name(), strings.Join(l.Why, "; "))
	}
}

// put prints, writes or commits the proposal.
func (p *proposer) put(ctx context.Context, proposal outline.Proposal, paused bool) error {
	var flips []desired.Flip
	var mappings []desired.Mapping
	for _, w := range proposal.Take {
		m, _ := p.state.Mapping(identity.Subject{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount})
		mappings, flips = append(mappings, m), append(flips, flip(m))
	}
	edition, err := p.editor.Flip(ctx, flips)
	if err != nil {
		return err
	}
	for i, w := range proposal.Take {
		p.talk.say("proposed: %s (%s): %s", w.Name(), mappings[i].At, w.Brief())
	}
	notes := p.notes(proposal, mappings, paused)
	for _, n := range notes[1:] {
		p.talk.say("%s", n)
	}
	switch {
	case p.branch != "":
		return p.commit(edition, proposal, notes)
	case p.write:
		if err := edition.Write(); err != nil {
			return err
		}
		for _, name := range edition.Files() {
			fmt.Fprintln(p.world.Stdout, printable(name))
		}
		p.talk.say("written; git diff shows it, and nothing is committed")
		return nil
	}
	patch, err := edition.Patch()
	if err != nil {
		return err
	}
	_, err = p.world.Stdout.Write(patch)
	return err
}

// notes are what a reader should know besides; the first, on what all of this rests, the
// caller knows.
func (p *proposer) notes(proposal outline.Proposal, mappings []desired.Mapping, paused bool) (notes []string) {
	notes = append(notes, "the cluster was looked at at "+p.snapshot.Facts().TakenAt.UTC().Format(time.RFC3339)+", and Git was "+p.state.Revision.String())
	var every []string
	for _, m := range mappings {
		switch c := p.editor.Clusters(m); {
		case len(c) == 0:
			every = append(every, m.Subject.String())
		case len(c) > 1 || c[0] != p.state.Cluster:
			notes = append(notes, fmt.Sprintf("%s moves in every cluster of %s, each by its own verdict", m.Subject, strings.Join(c, ", ")))
		}
	}
	if len(every) > 0 {
		notes = append(notes, "no clusters are named for "+some(every)+": every cluster that reads the file moves it, by its own verdict")
	}
	if len(proposal.UnderWay) > 0 {
		notes = append(notes, "on the way to Pod Identity already: "+some(proposal.UnderWay)+"; those of this wave may wait for them")
	}
	if paused {
		notes = append(notes, "the operator's configuration pauses all migrations (migration.pause): nothing moves until it does not")
	}
	return notes
}

// some lists names, the first of many.
func some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (p *proposer) commit(edition *app.Edition, proposal outline.Proposal, notes []string) error {
	env := func(who string) app.Person {
		return app.Person{Name: p.world.Getenv("GIT_" + who + "_NAME"), Email: p.world.Getenv("GIT_" + who + "_EMAIL")}
	}
	made, err := edition.Commit(app.Commit{Branch: p.branch, Message: proposal.Message(notes), Author: env("AUTHOR"), Committer: env("COMMITTER"), When: time.Now()})
	if err != nil {
		return err
	}
	fmt.Fprintln(p.world.Stdout, made.Hash)
	if made.Before {
		p.talk.say("branch %s has this change already", p.branch)
		return nil
	}
	if made.Unsigned {
		p.talk.say("Git's configuration asks for signatures (commit.gpgSign), and this commit has none: sign it with git commit --amend -S on that branch")
	}
	p.talk.say("branch %s stands on %.12s with this change; no hook was run and nothing is pushed: git push origin %s", p.branch, made.Parent, p.branch)
	return nil
}
