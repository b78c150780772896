package app

import (
	"context"
	"errors"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/sync/live"
)

// verify is whose signatures the source asks for.
func (x *examination) verify() gitsource.Verify {
	if s := x.o.Desired.Source; s != nil {
		return sourceOptions(*s, "").Verify
	}
	return gitsource.Verify{}
}

func (x *examination) signatureKeys(context.Context) doctor.Check {
	v := x.verify()
	f := doctor.SignatureKeys{Asked: v != (gitsource.Verify{}), Now: x.o.Now()}
	keys, err := v.Keys(f.Now)
	if err != nil {
		f.Problem = oneLine(err)
	}
	for _, k := range keys {
		f.Keys = append(f.Keys, doctor.Key(k))
	}
	return f.Judge()
}

// gitFacts are what one look at the head showed.
type gitFacts struct {
	asked    bool // there is a source
	where    string
	revision string
	source   error // it was not read
	unsigned *gitsource.SignatureError
	problems []string
	repo     *desired.Repository
}

func (x *examination) gitOnce(ctx context.Context) gitFacts {
	f, _ := x.git.of(ctx, 3*x.o.Timeout, func(ctx context.Context) (gitFacts, error) { return x.look(ctx), nil })
	return f
}

// look reads the head once, and parses it.
func (x *examination) look(ctx context.Context) gitFacts {
	d := x.o.Desired
	f := gitFacts{asked: true, where: strings.Join(d.Dirs, ", ")}
	switch {
	case d.Source != nil && d.Source.URL != "":
		f.where = gitsource.Redact(d.Source.URL) + " " + d.Source.Ref
	case d.URL != "":
		f.where = strings.TrimSpace(gitsource.Redact(d.URL) + " " + d.Ref)
	case len(d.Dirs) == 0:
		return gitFacts{}
	}
	g, err := OpenGit(d)
	if err != nil {
		f.source = err
		return f
	}
	defer func() { _ = g.Close() }()
	snapshot, _, err := g.source.Latest(ctx)
	if unsigned, is := errors.AsType[*gitsource.SignatureError](err); is {
		f.unsigned, f.revision = unsigned, unsigned.Commit
		return f
	}
	if err != nil {
		f.source = err
		return f
	}
	f.revision = snapshot.Revision.String()
	if f.repo, err = desired.ParseShown(snapshot.FS, g.paths, snapshot.Revision, g.show); err != nil {
		f.problems = lined(err)
	}
	return f
}

// lined are the lines of an error, of which each is a problem.
func lined(err error) []string {
	var out []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func oneLine(err error) string { return strings.Join(lined(err), "; ") }

// gitTrouble says why the head was not read, in the source's own words, which have no
// secret in them.
func gitTrouble(err error) doctor.Trouble {
	if err == nil {
		return doctor.Trouble{}
	}
	silent := errors.Is(err, gitsource.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
	return doctor.Trouble{Reason: live.GapFailed, Message: oneLine(err), Silent: silent}
}

const noSource = "no repository is named: source.url in the configuration, or --repo or --path"

func (x *examination) gitSource(ctx context.Context) doctor.Check {
	f := x.gitOnce(ctx)
	if !f.asked {
		return doctor.Skip(doctor.IDGitSource, noSource)
	}
	return doctor.GitSource{Trouble: gitTrouble(f.source), Where: f.where, Revision: f.revision}.Judge()
}

func (x *examination) signature(ctx context.Context) doctor.Check {
	f := x.gitOnce(ctx)
	s := doctor.Signature{Trouble: gitTrouble(f.source), Asked: f.asked && x.verify() != (gitsource.Verify{})}
	if f.unsigned != nil {
		s.Problem, s.Next = "commit "+f.unsigned.Commit+": "+f.unsigned.What, f.unsigned.Next
	}
	return s.Judge()
}

func (x *examination) revision(ctx context.Context) doctor.Check {
	f := x.gitOnce(ctx)
	switch {
	case !f.asked:
		return doctor.Skip(doctor.IDRevision, noSource)
	case f.source != nil:
		return doctor.Blocked(doctor.IDRevision, doctor.IDGitSource)
	case f.unsigned != nil:
		return doctor.Blocked(doctor.IDRevision, doctor.IDSignature)
	}
	r := doctor.Revision{Problems: f.problems}
	if c, err := x.clusterOnce(ctx); err == nil && f.repo != nil {
		state, err := f.repo.For(c.cluster)
		if err != nil {
			r.Problems = lined(err)
		}
		r.Known, r.Mappings = true, len(state.Mappings)
	}
	return r.Judge()
}
