package fake

import (
	"context"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Deploy has the steps of Ironic's fake deploy interface.
type Deploy struct{ runner }

// Validate fails on request.
func (Deploy) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.deploy")
}

// TakesConfigDrive is true: whatever a caller gives is kept in instance_info.
func (Deploy) TakesConfigDrive() bool { return true }

// ExpectsAgent tells whether an agent reports for the node.
func (Deploy) ExpectsAgent(n *baremetal.Node) bool {
	return waits(n, "deploy") || waits(n, "clean") || waits(n, "service") || n.Work.Steps != nil && runsFake(n)
}

// runsFake tells whether the step under work waits for an agent by its arguments.
func runsFake(n *baremetal.Node) bool {
	if n.Work.StepIndex >= len(n.Work.Steps) {
		return false
	}
	s := n.Work.Steps[n.Work.StepIndex]
	return s.Name == Step && s.Args["wait"] == true
}

// Steps lists the interface's; in a cleaning none of them runs by itself unless
// the node's options need one.
func (Deploy) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("deploy", t, kind), nil
}

// TearDown has nothing to remove.
func (Deploy) TearDown(_ context.Context, t *drivers.Task) (drivers.Result, error) {
	return drivers.Done(), failing(&t.Node, "teardown")
}

// BIOS shows what its steps applied.
type BIOS struct{ runner }

// Validate fails on request.
func (BIOS) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.bios")
}

// Steps lists the interface's.
func (BIOS) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("bios", t, kind), nil
}

// Firmware shows what its steps installed.
type Firmware struct{ runner }

// Validate fails on request.
func (Firmware) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.firmware")
}

// Steps lists the interface's.
func (Firmware) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("firmware", t, kind), nil
}

// RAID takes any configuration and shows it as done after its steps.
type RAID struct{ runner }

// Validate fails on request.
func (RAID) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.raid")
}

// Steps lists the interface's.
func (RAID) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("raid", t, kind), nil
}

// ValidateRAID fails on request.
func (RAID) ValidateRAID(_ context.Context, t *drivers.Task, _ baremetal.Object) error {
	return failing(&t.Node, "validate.raid")
}

// LogicalDiskProperties describes a logical disk.
func (RAID) LogicalDiskProperties() map[string]string {
	return map[string]string{
		"size_gb":                  "size in GiB, a whole number, or MAX for all that is free. Required.",
		"raid_level":               "JBOD, 0, 1, 2, 5, 6, 1+0, 5+0 or 6+0. Required.",
		"is_root_volume":           "whether this is the disk that the node boots from; one at most. Optional.",
		"volume_name":              "name of the volume, unique on the node. Optional.",
		"share_physical_disks":     "whether other logical disks may use the same physical ones. Optional.",
		"disk_type":                "hdd or ssd. Optional.",
		"interface_type":           "sata, scsi or sas. Optional.",
		"number_of_physical_disks": "how many physical disks to use. Optional.",
		"controller":               "controller to use; software for one made by the operating system. Optional.",
		"physical_disks":           "list of physical disks, or of hints to find them. Optional.",
	}
}
