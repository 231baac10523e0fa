package conductor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// templateSteps are the steps of the deploy templates that the node's instance asks for.
func (c *Conductor) templateSteps(ctx context.Context, n *baremetal.Node) ([]baremetal.Step, error) {
	traits, err := instanceTraits(n)
	if err != nil || len(traits) == 0 {
		return nil, err
	}
	templates, err := c.Store.DeployTemplates().List(ctx, baremetal.Query{Names: traits})
	if err != nil {
		return nil, err
	}
	var steps []baremetal.Step
	for _, template := range templates {
		steps = append(steps, template.Steps.List()...)
	}
	return steps, nil
}

// instanceTraits reads instance_info.traits.
func instanceTraits(n *baremetal.Node) ([]string, error) {
	v := n.InstanceInfo.Get("traits")
	if v == nil {
		return nil, nil
	}
	text, err := json.Marshal(v)
	var traits []string
	if err == nil {
		err = json.Unmarshal(text, &traits)
	}
	if err != nil {
		return nil, baremetal.Errorf(baremetal.Invalid, "Error parsing traits from instance_info of node %s: they are not a list of strings.", n.UUID)
	}
	return traits, nil
}

// checkTraits refuses a deploy whose instance wants traits that the node does not have.
func checkTraits(n *baremetal.Node) error {
	wanted, err := instanceTraits(n)
	if err != nil || len(wanted) == 0 {
		return err
	}
	var missing []string
	have := n.Traits.List()
	for _, trait := range wanted {
		if !slices.Contains(have, trait) {
			missing = append(missing, trait)
		}
	}
	if missing != nil {
		return baremetal.Errorf(baremetal.Invalid,
			"Failed to validate instance traits for node %s: these traits are not among the node's: %s.", n.UUID, strings.Join(missing, ", "))
	}
	return nil
}
