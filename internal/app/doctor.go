package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// DoctorOptions are what lanyard doctor is told besides where the world is.
type DoctorOptions struct {
	Options
	ConfigFile     string           // where Config comes from; empty: none was named
	ConfigProblems []string         // why it could not be read; then Config is nil
	Mode           string           // whose rights are asked about
	As             string           // the user whose Kubernetes rights are asked about; empty: whoever runs this
	AsRole         identity.RoleARN // the role whose AWS rights are asked about; zero: whoever runs this
	Lease          Lease            // where it is to be
	ServiceAccount string           // that lanyard runs as, where a person runs this
	Secrets        []string         // files of secrets that flags name
	Timeout        time.Duration    // for a check; fetching from Git and the many questions about rights have three times as long. Zero: 15 s
}

// examination is one run of the doctor. Facts that several checks rest on are asked for
// once.
type examination struct {
	o       DoctorOptions
	kube    kubernetes.Interface // nil: there is none, and kubeErr says why
	kubeErr error
	clients *clients // nil: there are none, and awsErr says why
	awsErr  error
	kubeDates,
	awsDates *dates

	server  fact[serverFacts]
	user    fact[userFacts]
	caller  fact[callerFacts]
	cluster fact[clusterFacts]
	git     fact[gitFacts]
}

// fact is asked for once, by whoever needs it first, and for no longer than most.
type fact[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (f *fact[T]) of(ctx context.Context, most time.Duration, ask func(context.Context) (T, error)) (T, error) {
	f.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		f.value, f.err = ask(ctx)
	})
	return f.value, f.err
}

// Doctor makes every check, several at a time, and each for as long as it may take: it
// always answers.
func Doctor(ctx context.Context, o DoctorOptions) (doctor.Report, error) {
	o.Options = o.Options.withDefaults()
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Lease = o.Lease.withDefaults()
	o.Lease.Namespace = cmp.Or(o.Lease.Namespace, "lanyard")
	o.ServiceAccount = cmp.Or(o.ServiceAccount, "lanyard")
	if o.Cluster == "" && len(o.ConfigProblems) == 0 {
		return doctor.Report{}, errors.New("no cluster named: use --cluster NAME, the name of the EKS cluster, or a configuration with --config")
	}
	x := &examination{o: o, kubeDates: &dates{now: o.Now}, awsDates: &dates{now: o.Now}}
	x.connect(ctx)
	checks := make([]doctor.Check, len(x.checks()))
	var done sync.WaitGroup
	var mu sync.Mutex
	left := doctor.Checks()
	for i, c := range x.checks() {
		done.Go(func() {
			checks[i] = bounded(ctx, c.time, c.id, c.make)
			mu.Lock()
			defer mu.Unlock()
			if left = slices.DeleteFunc(left, func(id doctor.ID) bool { return id == c.id }); len(left) > 0 {
				o.Progress(fmt.Sprintf("checking: %d of %d done, waiting for %s", len(checks)-len(left), len(checks), left[0]))
			}
		})
	}
	done.Wait()
	if err := ctx.Err(); err != nil {
		return doctor.Report{}, err
	}
	return doctor.NewReport(cmp.Or(o.Cluster, "(none)"), o.Mode, checks), nil
}

// checkup is how a check is made.
type checkup struct {
	id   doctor.ID
	make func(context.Context) doctor.Check
	time time.Duration
}

func (x *examination) checks() []checkup {
	short, long := x.o.Timeout, 3*x.o.Timeout
	return []checkup{
		{doctor.IDConfiguration, x.configuration, short},
		{doctor.IDFiles, x.files, short},
		{doctor.IDAPIServer, x.apiServer, short},
		{doctor.IDKubernetesClock, x.onServer(doctor.IDKubernetesClock, x.kubernetesClock), short},
		{doctor.IDIssuer, x.onServer(doctor.IDIssuer, x.issuer), short},
		{doctor.IDKubernetesPermissions, x.onServer(doctor.IDKubernetesPermissions, x.kubernetesPermissions), long},
		{doctor.IDKubernetesExcess, x.onServer(doctor.IDKubernetesExcess, x.kubernetesExcess), short},
		{doctor.IDNamespace, x.onServer(doctor.IDNamespace, x.namespace), short},
		{doctor.IDWebhook, x.onServer(doctor.IDWebhook, x.webhook), short},
		{doctor.IDAgent, x.onServer(doctor.IDAgent, x.agent), short},
		{doctor.IDAdmissionPolicy, x.admissionPolicy, short},
		{doctor.IDAWSIdentity, x.awsIdentity, short},
		{doctor.IDAWSClock, x.awsClock, short},
		{doctor.IDAWSAccount, x.onAWS(doctor.IDAWSAccount, x.awsAccount), short},
		{doctor.IDCluster, x.onAWS(doctor.IDCluster, x.eksCluster), short},
		{doctor.IDOIDCProvider, x.onAWS(doctor.IDOIDCProvider, x.oidcProvider), short},
		{doctor.IDAWSPermissions, x.onAWS(doctor.IDAWSPermissions, x.awsPermissions), long},
		{doctor.IDOtherAccounts, x.onAWS(doctor.IDOtherAccounts, x.otherAccounts), short},
		{doctor.IDSignatureKeys, x.signatureKeys, short},
		{doctor.IDGitSource, x.gitSource, long},
		{doctor.IDSignature, x.signature, long},
		{doctor.IDRevision, x.revision, long + short},
	}
}

// bounded makes a check within its time. What does not heed its context, such as a
// credential plugin that a kubeconfig names, is left behind.
func bounded(ctx context.Context, most time.Duration, id doctor.ID, check func(context.Context) doctor.Check) doctor.Check {
	inner, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	answer := make(chan doctor.Check, 1)
	go func() { answer <- check(inner) }()
	late := time.NewTimer(most + time.Second) // after what heeds it
	defer late.Stop()
	select {
	case c := <-answer:
		return c
	case <-late.C:
	case <-ctx.Done():
	}
	return doctor.Silent(id, most.String())
}

// connect makes the clients. Neither of the two worlds needs the other's.
func (x *examination) connect(ctx context.Context) {
	o := x.o.Options
	api := apiClients{kube: o.Kube}
	if o.Kube == nil {
		config, err := kubeConfig(o, roundsRate)
		if err == nil {
			config.Wrap(x.kubeDates.transport)
			api.kube, err = kubernetes.NewForConfig(config)
		}
		if x.kubeErr = err; err != nil {
			api.kube = nil
		}
	}
	x.kube = api.kube
	load, cancel := context.WithTimeout(ctx, x.o.Timeout)
	defer cancel()
	base, err := awsConfig(load, o)
	if err != nil {
		x.awsErr = err
		return
	}
	own := base.Copy()
	if own.Retryer == nil && own.RetryMaxAttempts == 0 {
		own.RetryMaxAttempts = 2 // somebody waits
	}
	own.APIOptions = append(slices.Clone(own.APIOptions), x.awsDates.middleware)
	x.clients = assemble(ctx, o, api, &own)
}

// onServer makes a check that needs an API server only where one answers.
func (x *examination) onServer(id doctor.ID, make func(context.Context) doctor.Check) func(context.Context) doctor.Check {
	return func(ctx context.Context) doctor.Check {
		if _, err := x.serverOnce(ctx); err != nil && troubleOf(err).Reason == live.GapFailed {
			return doctor.Blocked(id, doctor.IDAPIServer)
		}
		return make(ctx)
	}
}

// onAWS makes a check that needs credentials only where there are any.
func (x *examination) onAWS(id doctor.ID, make func(context.Context) doctor.Check) func(context.Context) doctor.Check {
	return func(ctx context.Context) doctor.Check {
		if _, err := x.callerOnce(ctx); err != nil {
			return doctor.Blocked(id, doctor.IDAWSIdentity)
		}
		return make(ctx)
	}
}

// troubleOf says why a question has no answer; the zero value where there is an answer.
func troubleOf(err error) doctor.Trouble {
	if err == nil {
		return doctor.Trouble{}
	}
	if own, is := errors.AsType[*plainError](err); is {
		return doctor.Trouble{Reason: live.GapFailed, Message: own.Error()}
	}
	reason, message := observe.Classify(err)
	netErr, network := errors.AsType[net.Error](err)
	silent := errors.Is(err, context.DeadlineExceeded) || network && netErr.Timeout()
	return doctor.Trouble{Reason: reason, Message: message, Silent: silent}
}

// plainError is one whose words are lanyard's own, and fit to be shown.
type plainError struct{ error }

func (e *plainError) Unwrap() error { return e.error }

// place is where lanyard stands, as far as it is known: for the rights that it needs.
func (x *examination) place(ctx context.Context) rights.Place {
	p := rights.Place{Cluster: x.o.Cluster, Namespace: x.o.Lease.Namespace, ServiceAccount: x.o.ServiceAccount, Lease: x.o.Lease.Name}
	if u, err := x.userOnce(ctx); err == nil && u.self != (identity.Subject{}) {
		p.Namespace, p.ServiceAccount = u.self.Namespace, u.self.ServiceAccount
	}
	if x.clients != nil {
		p.Region = x.clients.base.Region
		if c, err := x.callerOnce(ctx); err == nil {
			p.Partition, p.Account = c.partition, c.account
		}
	}
	if c := x.o.Config; c != nil {
		for _, a := range c.Allow {
			p.Roles = append(p.Roles, a.Roles...)
		}
		slices.Sort(p.Roles)
		p.Roles = slices.Compact(p.Roles)
		for _, a := range c.Accounts {
			p.AccountRoles = append(p.AccountRoles, a.Role.String())
		}
	}
	return p
}

// wants are the rights of the mode, with the features that the configuration turns on.
func (x *examination) wants(ctx context.Context) (rights.Wants, error) {
	return rights.For(x.o.Mode, featuresOf(x.o.Config, x.o.Mode), x.place(ctx))
}

// featuresOf are the features that need rights of their own.
func featuresOf(c *desired.Configuration, mode string) []string {
	var out []string
	if c == nil {
		return nil
	}
	if len(c.Accounts) > 0 {
		out = append(out, rights.Accounts)
	}
	if c.Features.CloudTrail {
		out = append(out, rights.CloudTrail)
	}
	if c.Features.IdentityProbe && mode == string(desired.ModeMigrate) {
		out = append(out, rights.IdentityProbe)
	}
	if c.Prune == desired.PruneOwned && mode != string(desired.ModeObserve) {
		out = append(out, rights.Prune)
	}
	return out
}

func (x *examination) configuration(context.Context) doctor.Check {
	f := doctor.Configuration{File: x.o.ConfigFile, Problems: x.o.ConfigProblems, Cluster: x.o.Cluster, Mode: x.o.Mode,
		Features: featuresOf(x.o.Config, x.o.Mode)}
	return f.Judge()
}

// files looks at what the configuration and flags name, without showing what is in it.
func (x *examination) files(context.Context) doctor.Check {
	var all doctor.Files
	look := func(what, path string, check func(string) error) {
		if path == "" {
			return
		}
		one := doctor.File{What: what, Path: path}
		if err := check(path); err != nil {
			one.Problem = strings.TrimPrefix(err.Error(), path+" ")
			if missing, is := errors.AsType[*os.PathError](err); is {
				one.Problem = missing.Err.Error()
			}
		}
		all = append(all, one)
	}
	if c := x.o.Config; c != nil {
		a, v := c.Source.Auth, c.Source.Verify
		look("source.auth.tokenFile", a.TokenFile, CheckSecrets)
		look("source.auth.passwordFile", a.PasswordFile, CheckSecrets)
		look("source.auth.sshKeyFile", a.SSHKeyFile, CheckSecrets)
		look("source.auth.sshPassphraseFile", a.SSHPassphraseFile, CheckSecrets)
		look("source.auth.knownHostsFile", a.KnownHostsFile, filled)
		look("source.auth.caFile", a.CAFile, filled)
		look("source.verify.gpgKeysFile", v.GPGKeysFile, filled)
		look("source.verify.allowedSignersFile", v.AllowedSignersFile, filled)
	}
	if c := x.o.Config; c != nil && c.Features.PullRequests {
		look("pullRequests.tokenFile", c.PullRequests.TokenFile, CheckSecrets)
		look("pullRequests.caFile", c.PullRequests.CAFile, filled)
	}
	for _, secret := range x.o.Secrets {
		look("--hook-secret", secret, CheckSecrets)
	}
	return all.Judge()
}

// maxNamed bounds a file of keys or certificates that is only looked at.
const maxNamed = 4 << 20

// filled reports whether a file can be read and holds something.
func filled(path string) error {
	data, err := readFile(path, maxNamed)
	if err == nil && len(strings.TrimSpace(string(data))) == 0 {
		err = errors.New("it is empty")
	}
	return err
}

// aheadOf is how far a clock that shows date is ahead of now. Dates are whole seconds, so
// the middle of the second is taken.
func aheadOf(date, now time.Time) time.Duration {
	return date.Add(500 * time.Millisecond).Sub(now)
}

// dates notes what servers say of the time.
type dates struct {
	now   func() time.Time
	mu    sync.Mutex
	ahead time.Duration
	seen  bool
}

// note takes the Date of an answer that came just now. The first is as good as any.
func (d *dates) note(header string) {
	date, err := time.Parse(time.RFC1123, header)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.seen {
		d.ahead, d.seen = aheadOf(date, d.now()), true
	}
}

func (d *dates) told() (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ahead, d.seen
}
