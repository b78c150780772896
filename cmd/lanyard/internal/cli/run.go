package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
)

// hookProviders are those that can wake the daemon.
var hookProviders = []string{"github", "gitlab", "gitea", "generic"}

// modes are what the configuration's mode may be.
var modes = []string{string(desired.ModeObserve), string(desired.ModeRepair), string(desired.ModeMigrate)}

func newRun(world World, talk *voice) *cobra.Command {
	var (
		o       app.DaemonOptions
		hooks   []string
		level   string
		mode    string
		cluster string
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Watch a repository and keep the cluster as it declares",
		Long: `Watch a repository and keep the cluster as it declares, until it is told to end.

The operator's configuration says which repository and which cluster, and what may be
written: mode: observe, which is the default, writes nothing there; repair mends drift;
migrate also moves workloads from one mechanism to the other, which evicts and restarts
pods. The last two need allow. The file is read again when it changes; one that is wrong
is refused, and the last good one stays in force.

Several replicas may run: one leads, by a Lease, and the others stand by. The Lease also
remembers which commit was accepted last, so that a head that is unsigned, broken, empty
or rewound changes nothing, after a restart too.

The log is JSON, one object a line, on standard error: each write with the whole value
before and after. A first SIGTERM or Ctrl-C ends in order: the step in hand is finished,
and the Lease is given back.`,
		Example: `  # In a pod: the cluster is its own, the Lease in its own namespace.
  lanyard run --config /etc/lanyard/lanyard.yaml --work-dir /var/cache/lanyard

  # On a workstation, looking only, with the API open to the bearers of a token.
  lanyard run --config lanyard.yaml --mode observe --lease-namespace lanyard \
    --listen 127.0.0.1:8080 --api-token-file token

  # Let a push wake it.
  lanyard run --config lanyard.yaml --hook-secret github=/run/secrets/github`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.ConfigFile == "" {
				return errors.New("no configuration: name the operator's file with --config (lanyard schema configuration prints what it holds)")
			}
			var err error
			if o.HookSecrets, err = hookSecrets(hooks); err != nil {
				return err
			}
			if (o.TLSCert == "") != (o.TLSKey == "") {
				return errors.New("--tls-cert and --tls-key go together")
			}
			var at slog.Level
			if err := at.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level %s: %w", level, err)
			}
			o.Override = func(c *desired.Configuration) error {
				if cluster != "" {
					c.Cluster = cluster
				}
				if mode != "" {
					c.Mode = desired.Mode(mode)
				}
				return runnable(c)
			}
			o.Log = slog.New(slog.NewJSONHandler(world.Stderr, &slog.HandlerOptions{Level: at}))
			o.Version, o.Commit = version(), revision()
			app.BridgeKlog(o.Log)
			o.KubeCalls = app.MeasureKube()
			d, err := app.NewDaemon(cmd.Context(), o)
			if err != nil {
				return err
			}
			return errors.Join(d.Run(cmd.Context()), d.Close())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ConfigFile, "config", "", "the operator's configuration `file` (required)")
	f.StringVar(&cluster, "cluster", "", "in place of the configuration's cluster")
	f.Var(&choice{&mode, modes}, "mode", "in place of the configuration's mode: "+strings.Join(modes, ", "))
	f.StringVar(&o.WorkDir, "work-dir", "", "`directory` where fetches are kept while in use (default: in memory)")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: as kubectl finds it, or the pod's own)")
	f.StringVar(&o.Context, "context", "", "context of the kubeconfig")
	f.StringVar(&o.Listen, "listen", ":8080", "`address` of probes, metrics and the API; empty for none")
	f.StringVar(&o.HookListen, "hook-listen", ":9292", "`address` of hooks, which need a --hook-secret")
	f.StringArrayVar(&hooks, "hook-secret", nil, "`PROVIDER=FILE` with the secrets of a Git host's hooks, one a line; "+strings.Join(hookProviders, ", ")+" (repeatable)")
	f.StringVar(&o.APITokenFile, "api-token-file", "", "`file` with the tokens that may read the API, one a line")
	f.BoolVar(&o.APIAccess, "api-access", false, "let those read the API whom the API server lets get its paths")
	f.StringVar(&o.TLSCert, "tls-cert", "", "certificate `file` of both listeners, PEM")
	f.StringVar(&o.TLSKey, "tls-key", "", "its key `file`")
	f.StringVar(&o.Lease.Namespace, "lease-namespace", "", "namespace of lanyard's Lease (default: the pod's)")
	f.StringVar(&o.Lease.Name, "lease-name", "lanyard", "name of lanyard's Lease")
	f.StringVar(&o.Lease.Identity, "identity", "", "name of this replica in the Lease (default: host and process)")
	describeInterval(cmd, &o.DescribeInterval)
	f.IntVar(&o.MappingSeries, "mapping-series-limit", 2000, "how many mappings have metrics of their own; -1 for none")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// runnable refuses what would write without a word of the operator's on where.
func runnable(c *desired.Configuration) error {
	if len(c.Allow) == 0 && c.Mode != desired.ModeObserve {
		return fmt.Errorf("%s: mode %s without allow: write allow, with the namespaces and roles that may be written, or mode: observe", c.At, c.Mode)
	}
	return nil
}

// hookSecrets parses PROVIDER=FILE, and sees that each file can be read now.
func hookSecrets(flags []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, flag := range flags {
		provider, file, ok := strings.Cut(flag, "=")
		if !ok || file == "" || !slices.Contains(hookProviders, provider) {
			return nil, fmt.Errorf("--hook-secret %s: write PROVIDER=FILE, with one of %s", flag, strings.Join(hookProviders, ", "))
		}
		if err := app.CheckSecrets(file); err != nil {
			return nil, fmt.Errorf("--hook-secret %s: %w", provider, err)
		}
		out[provider] = append(out[provider], file)
	}
	return out, nil
}
