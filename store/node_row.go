package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// nodeColumns are all columns of nodes; nodeArgs and nodeRow.node follow this order.
var nodeColumns = [...]string{
	"id", "uuid", "name", "instance_uuid", "power_state", "provision_state", "maintenance",
	"driver", "instance_name", "chassis_uuid", "allocation_uuid", "resource_class", "conductor_group", "owner", "lessee",
	"shard", "parent_node", "target_power_state", "target_provision_state", "provision_updated_at", "fault", "health",
	"protected", "retired", "console_enabled", "disable_power_off", "automated_clean", "boot_mode", "secure_boot",
	"inspection_started_at", "inspection_finished_at", "created_at", "updated_at",
	"description", "maintenance_reason", "protected_reason", "retired_reason", "last_error", "interfaces",
	"driver_info", "driver_internal_info", "properties", "extra", "instance_info", "network_data", "raid_config",
	"target_raid_config", "clean_step", "deploy_step", "service_step", "traits",
	"version", "reservation", "claim_owner", "claim_epoch", "claim_expires", "wake_at", "step_index", "wait_deadline",
	"wait_reason", "wait_hint", "hardware_key", "observed_boot", "observed_seq", "place", "intent", "steps", "journal",
}

// Where the columns are that are treated in their own way.
const (
	powerStateColumn = 4
	updatedAtColumn  = 32
	versionColumn    = 51 // and all after it: what the conductors keep
	nodeColumnCount  = len(nodeColumns)
)

// nodeArgs are the values of a node's columns.
func nodeArgs(n *baremetal.Node) ([nodeColumnCount]any, error) {
	w := &n.Work
	intent, err := jsonText(w.Intent)
	if err != nil {
		return [nodeColumnCount]any{}, err
	}
	steps := ""
	if len(w.Steps) > 0 {
		if steps, err = jsonText(w.Steps); err != nil {
			return [nodeColumnCount]any{}, err
		}
	}
	return [nodeColumnCount]any{
		n.ID, n.UUID, n.Name, n.InstanceUUID, string(n.PowerState), string(n.ProvisionState), flag(n.Maintenance),
		n.Driver, n.InstanceName, n.ChassisUUID, n.AllocationUUID, n.ResourceClass, n.ConductorGroup, n.Owner, n.Lessee,
		n.Shard, n.ParentNode, string(n.TargetPowerState), string(n.TargetProvisionState), micros(n.ProvisionUpdatedAt), n.Fault, n.Health,
		flag(n.Protected), flag(n.Retired), flag(n.ConsoleEnabled), flag(n.DisablePowerOff), maybe(n.AutomatedClean), n.BootMode, maybe(n.SecureBoot),
		micros(n.InspectionStartedAt), micros(n.InspectionFinishedAt), micros(n.CreatedAt), micros(n.UpdatedAt),
		n.Description, n.MaintenanceReason, n.ProtectedReason, n.RetiredReason, n.LastError, interfacesText(n.Interfaces),
		object(n.DriverInfo), object(n.DriverInternalInfo), object(n.Properties), object(n.Extra), object(n.InstanceInfo), object(n.NetworkData),
		object(n.RAIDConfig), object(n.TargetRAIDConfig), object(n.CleanStep), object(n.DeployStep), object(n.ServiceStep), string(n.Traits),
		w.Version, w.Reservation, w.ClaimOwner, w.ClaimEpoch, micros(w.ClaimExpires), micros(w.WakeAt), int64(w.StepIndex), micros(w.WaitDeadline),
		w.WaitReason, w.WaitHint, w.HardwareKey, w.ObservedBoot, w.ObservedSeq, w.Place, intent, steps, object(w.Journal),
	}, nil
}

// nodeRow receives the columns of a row; it can be used for many rows, one after another.
type nodeRow struct {
	values [nodeColumnCount]any
	dest   [nodeColumnCount]any
	at     int

	interfacesText string // of the row before, most often the same
	interfaces     map[string]string
}

func newNodeRow() *nodeRow {
	r := &nodeRow{}
	for i := range r.values {
		r.dest[i] = &r.values[i]
	}
	return r
}

// scan reads the current row into n.
func (r *nodeRow) scan(rows *sql.Rows, n *baremetal.Node) error {
	if err := rows.Scan(r.dest[:]...); err != nil {
		return err
	}
	return r.node(n)
}

func (r *nodeRow) node(n *baremetal.Node) error {
	r.at = 0
	*n = baremetal.Node{
		ID: r.int(), UUID: r.text(), Name: r.text(), InstanceUUID: r.text(), PowerState: baremetal.PowerState(r.text()),
		ProvisionState: baremetal.ProvisionState(r.text()), Maintenance: r.flag(),
		Driver: r.text(), InstanceName: r.text(), ChassisUUID: r.text(), AllocationUUID: r.text(), ResourceClass: r.text(),
		ConductorGroup: r.text(), Owner: r.text(), Lessee: r.text(), Shard: r.text(), ParentNode: r.text(),
		TargetPowerState: baremetal.PowerState(r.text()), TargetProvisionState: baremetal.ProvisionState(r.text()),
		ProvisionUpdatedAt: r.time(), Fault: r.text(), Health: r.text(),
		Protected: r.flag(), Retired: r.flag(), ConsoleEnabled: r.flag(), DisablePowerOff: r.flag(), AutomatedClean: r.maybe(),
		BootMode: r.text(), SecureBoot: r.maybe(),
		InspectionStartedAt: r.time(), InspectionFinishedAt: r.time(), CreatedAt: r.time(), UpdatedAt: r.time(),
		Description: r.text(), MaintenanceReason: r.text(), ProtectedReason: r.text(), RetiredReason: r.text(), LastError: r.text(),
		Interfaces: r.interfaceMap(),
		DriverInfo: r.object(), DriverInternalInfo: r.object(), Properties: r.object(), Extra: r.object(), InstanceInfo: r.object(),
		NetworkData: r.object(), RAIDConfig: r.object(), TargetRAIDConfig: r.object(),
		CleanStep: r.object(), DeployStep: r.object(), ServiceStep: r.object(), Traits: baremetal.Strings(r.text()),
		Work: baremetal.Work{
			Version: r.int(), Reservation: r.text(), ClaimOwner: r.text(), ClaimEpoch: r.int(), ClaimExpires: r.time(), WakeAt: r.time(),
			StepIndex: int(r.int()), WaitDeadline: r.time(), WaitReason: r.text(), WaitHint: r.text(), HardwareKey: r.text(),
			ObservedBoot: r.int(), ObservedSeq: r.int(), Place: r.text(),
		},
	}
	intent, steps := r.text(), r.text()
	n.Work.Journal = r.object()
	if intent != "" {
		if err := json.Unmarshal([]byte(intent), &n.Work.Intent); err != nil {
			return fmt.Errorf("reading the intent of node %s: %w", n.UUID, err)
		}
	}
	if steps != "" {
		if err := json.Unmarshal([]byte(steps), &n.Work.Steps); err != nil {
			return fmt.Errorf("reading the steps of node %s: %w", n.UUID, err)
		}
	}
	return nil
}

func (r *nodeRow) next() any {
	v := r.values[r.at]
	r.at++
	return v
}

func (r *nodeRow) text() string {
	s, _ := r.next().(string)
	return s
}

func (r *nodeRow) int() int64 {
	i, _ := r.next().(int64)
	return i
}

func (r *nodeRow) flag() bool               { return r.int() != 0 }
func (r *nodeRow) time() time.Time          { return fromMicros(r.int()) }
func (r *nodeRow) object() baremetal.Object { return baremetal.Object(r.text()) }

func (r *nodeRow) interfaceMap() map[string]string {
	if text := r.text(); r.interfaces == nil || text != r.interfacesText {
		r.interfacesText, r.interfaces = text, interfacesOf(text)
	}
	return r.interfaces
}

func (r *nodeRow) maybe() *bool {
	i, ok := r.next().(int64)
	if !ok {
		return nil
	}
	b := i != 0
	return &b
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func maybe(b *bool) any {
	if b == nil {
		return nil
	}
	return flag(*b)
}

// object is the text of an object, "" for the empty one.
func object(o baremetal.Object) string {
	if o.IsEmpty() {
		return ""
	}
	return string(o)
}

// jsonText is v's JSON, "" if that is an empty object.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding: %w", err)
	}
	if string(b) == "{}" {
		return "", nil
	}
	return string(b), nil
}

// interfacesText is "bios=no-bios boot=rpi-netboot …": one column instead of
// thirteen, since they are always read together and never searched.
func interfacesText(m map[string]string) string {
	var b strings.Builder
	for _, kind := range baremetal.InterfaceKinds() {
		if name := m[kind]; name != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(kind)
			b.WriteByte('=')
			b.WriteString(name)
		}
	}
	return b.String()
}

func interfacesOf(text string) map[string]string {
	m := make(map[string]string, 13)
	for text != "" {
		var pair string
		pair, text, _ = strings.Cut(text, " ")
		if kind, name, ok := strings.Cut(pair, "="); ok {
			m[kind] = name
		}
	}
	return m
}
