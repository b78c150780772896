// Package app puts lanyard together: it builds clients from the settings that the AWS
// CLI and kubectl use, the hands that touch the world, and the loop that they serve.
//
// [NewReader] builds what looks and [NewSyncer] what writes too; commands that only
// read, and mode observe, are built by the first and so cannot write (design.md, law
// 7). It decides nothing about workloads. The command line and tests import it;
// nothing else does.
//
//	reader, err := app.NewReader(ctx, app.Options{Cluster: "irsa-lab", Desired: app.Desired{Dirs: []string{"fleet"}}})
//	defer reader.Close()
//	snapshot, err := reader.Snapshot(ctx, nil)
package app
