package app

import (
	"context"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/apply"
)

// ErrNoMark is what [Retry] tells of a ServiceAccount that bears no mark.
var ErrNoMark = apply.ErrNoMark

// Retry takes the mark of a rollback off ServiceAccounts, so that lanyard tries to move
// them again. Each is told to seen, with what its mark said, or why there is none to take.
// With dry nothing is written.
func Retry(ctx context.Context, o Options, subjects []identity.Subject, dry bool, seen func(identity.Subject, migrate.Mark, error)) error {
	o = o.withDefaults()
	kube := o.Kube
	if kube == nil {
		var err error
		if kube, err = kubeClient(o, roundsRate); err != nil {
			return err
		}
	}
	for _, s := range subjects {
		said, err := apply.DropMark(ctx, kube.CoreV1().ServiceAccounts(s.Namespace), s, migrate.RolledBackMark, dry)
		var mark migrate.Mark
		if err == nil {
			if mark, err = migrate.ParseMark(said); err != nil {
				mark, err = migrate.Mark{Reason: said}, nil // unreadable marks hold too, and go too
			}
		}
		seen(s, mark, err)
	}
	return nil
}
