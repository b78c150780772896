package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/doctor"
)

func newDoctor(world World, talk *voice) *cobra.Command {
	var (
		w            where
		o            app.DoctorOptions
		mode, asRole string
		hooks        []string
		output       string
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that lanyard could work here, and say what mends it if not",
		Long: `Check what lanyard rests on, and say for each failure what mends it: the configuration and
the files that it names; the API server, its version, clock and issuer; every Kubernetes
and AWS permission of the mode; EKS's webhook, the Pod Identity agent on each node, the
OIDC provider, the cluster; the way into other accounts; and the repository, its signature
and its documents. docs/doctor.md has a paragraph on each check. Nothing is changed.

It asks as whoever runs it. From a workstation, --as and --as-role ask about lanyard's own
ServiceAccount and role, whoever asks.

AWS permissions are simulated where that is allowed. Where it is not, reads are tried, and
what writes is told as unknown: it is never taken for granted.

Every check has its time, and what does not answer is unknown. No secret is shown.

Exit code 0: nothing failed and nothing is unknown. 2: something did or is. 1: no answer.`,
		Example: `  # After the installation: may lanyard do what its mode needs?
  lanyard doctor --config lanyard.yaml --as system:serviceaccount:lanyard:lanyard \
    --as-role arn:aws:iam::123456789012:role/lanyard

  # In lanyard's own pod, where the files are that the configuration names.
  kubectl --namespace lanyard exec deployment/lanyard -- /lanyard doctor --config /etc/lanyard/lanyard.yaml

  # Before the next mode is turned on.
  lanyard doctor --config lanyard.yaml --mode migrate

  # For a pipeline.
  lanyard doctor --cluster irsa-lab -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, problems, err := w.examined(world, talk)
			if err != nil {
				return err
			}
			o.Options, o.ConfigFile, o.ConfigProblems = base, w.config, problems
			if o.Mode = mode; mode == "" {
				o.Mode = string(desired.ModeObserve)
				if base.Config != nil {
					o.Mode = string(base.Config.Mode)
				}
			}
			if o.Mode != string(desired.ModeObserve) && len(problems) == 0 && (base.Config == nil || len(base.Config.Allow) == 0) {
				return fmt.Errorf("mode %s writes only where allow lets it: name a configuration with allow by --config", o.Mode)
			}
			if asRole != "" {
				if o.AsRole, err = identity.ParseRoleARN(asRole); err != nil {
					return fmt.Errorf("--as-role: %w", err)
				}
			}
			if o.Secrets, err = secretFiles(hooks); err != nil {
				return err
			}
			r, err := app.Doctor(cmd.Context(), o)
			if err != nil {
				return err
			}
			talk.close()
			if err := printDoctor(world, r, doctor.View{Paint: talk.paint()}, output); err != nil {
				return err
			}
			return differs(r.Fails())
		},
	}
	w.wanted(cmd)
	w.rules(cmd)
	f := cmd.Flags()
	f.StringVar(&w.cluster, "cluster", "", "name of the EKS cluster (default: the configuration's)")
	f.StringVar(&w.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: as kubectl finds it)")
	f.StringVar(&w.context, "context", "", "context of the kubeconfig")
	f.Var(&choice{&mode, modes}, "mode", "in place of the configuration's mode: "+strings.Join(modes, ", "))
	f.StringVar(&o.As, "as", "", "`user` whose Kubernetes permissions are asked about, such as system:serviceaccount:lanyard:lanyard (default: whoever runs this)")
	f.StringVar(&asRole, "as-role", "", "`ARN` of the role whose AWS permissions are simulated (default: whoever runs this)")
	f.StringArrayVar(&hooks, "hook-secret", nil, "`PROVIDER=FILE` as lanyard run takes it (repeatable)")
	f.StringVar(&o.Lease.Namespace, "namespace", "lanyard", "lanyard's own namespace")
	f.StringVar(&o.ServiceAccount, "service-account", "lanyard", "lanyard's own ServiceAccount")
	f.StringVar(&o.Lease.Name, "lease-name", "lanyard", "name of lanyard's Lease")
	o.Timeout = 15 * time.Second
	f.Var((*lasting)(&o.Timeout), "timeout", "how long a check may take; reading Git and asking for all permissions have three times as long")
	format(cmd, &output, "table", "json", "markdown")
	return cmd
}

// examined is what there is to be examined. A configuration that cannot be read is a
// problem for the report, and no reason to look at nothing else.
func (w *where) examined(world World, talk *voice) (app.Options, []string, error) {
	o := app.Options{Cluster: w.cluster, Kubeconfig: w.kubeconfig, Context: w.context, Progress: talk.progress}
	c, err := w.configuration()
	if err != nil {
		var problems []string
		if _, missing := errors.AsType[*fs.PathError](err); missing {
			return o, []string{err.Error()}, nil
		}
		for line := range strings.Lines(err.Error()) {
			if line = strings.TrimSpace(line); line != "" {
				problems = append(problems, line)
			}
		}
		return o, problems, nil
	}
	if o.Config = c; c != nil && w.cluster != "" && c.Cluster != w.cluster {
		return o, nil, fmt.Errorf("--cluster %s, but the configuration is for cluster %s: leave --cluster out", w.cluster, c.Cluster)
	}
	if w.repo != "" || len(w.paths) > 0 || c != nil && c.Source.URL != "" {
		o.Desired, err = w.desired(world, c)
	}
	return o, nil, err
}

// secretFiles takes the files out of PROVIDER=FILE.
func secretFiles(flags []string) ([]string, error) {
	var out []string
	for _, flag := range flags {
		_, file, ok := strings.Cut(flag, "=")
		if !ok || file == "" {
			return nil, errors.New("--hook-secret: write PROVIDER=FILE")
		}
		out = append(out, file)
	}
	return out, nil
}

func printDoctor(world World, r doctor.Report, v doctor.View, output string) error {
	switch output {
	case "json":
		b, err := r.JSON()
		if err != nil {
			return err
		}
		_, err = world.Stdout.Write(b)
		return err
	case "markdown":
		return r.Markdown(world.Stdout)
	}
	return r.Table(world.Stdout, v)
}
