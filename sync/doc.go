// Package sync is the loop's core: one [Loop.Round] reads what Git wants, looks at
// the live world, names the differences, plans, applies and reports.
//
// It declares what it needs of the hands that touch the world ([Source], [Observer],
// [Applier]) and is given them by package app; it never builds one, so a loop
// without an Applier cannot write (design.md, law 7). It decides nothing itself:
// packages diff and plan do, and are pure.
//
// Import it as lsync. Packages app and tests may.
//
//	loop := lsync.New(lsync.Options{Source: source, Observer: observer, Applier: applier, Mode: desired.ModeRepair, Policy: policy})
//	round, err := loop.Round(ctx)
package sync
