package main

// The event log as a vCenter keeps it: each event bears who caused it. The simulator's own events of what a task does
// bear nobody's name, its clone tells of a creation, its filter knows no time, and it answers for objects that are gone.

import (
	"context"
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// mostOfOneTask bounds the events that one task of the simulator is taken to write.
const mostOfOneTask = 50

// lastEvent is the key of the newest event. Called under the inventory lock, as is sign.
func (v *vcenter) lastEvent() int32 {
	var last int32
	for _, event := range v.newestEvents() {
		if key := event.GetEvent().Key; key > last {
			last = key
		}
	}
	return last
}

// sign writes the account and the chain of a task into the events that came since the event `after`.
func (v *vcenter) sign(after int32, user string, chain int32) {
	for _, event := range v.newestEvents() {
		if common := event.GetEvent(); common.Key > after {
			common.UserName, common.ChainId = user, chain
			if common.FullFormattedMessage == "" && common.Vm != nil {
				common.FullFormattedMessage = fmt.Sprintf("%T of %s", event, common.Vm.Name)[len("*types."):]
			}
		}
	}
}

// newestEvents are the simulator's own objects, not copies: inside the process nothing is encoded.
func (v *vcenter) newestEvents() []types.BaseEvent {
	found, _ := v.eventsOf(types.EventFilterSpec{MaxCount: mostOfOneTask})
	return found
}

func (v *vcenter) eventsOf(filter types.EventFilterSpec) ([]types.BaseEvent, error) {
	response, err := methods.QueryEvents(context.Background(), v.service, &types.QueryEvents{
		This: *v.content.EventManager, Filter: filter,
	})
	if err != nil {
		return nil, err
	}
	return response.Returnval, nil
}

// tellCloned is what a vCenter tells at the end of a clone, in the place of a creation. The new machine is its `vm`.
func (v *vcenter) tellCloned(made *simulator.VirtualMachine, source *simulator.VirtualMachine) types.BaseMethodFault {
	event := &types.VmClonedEvent{
		SourceVm: types.VmEventArgument{
			Vm: source.Self, EntityEventArgument: types.EntityEventArgument{Name: source.Name},
		},
	}
	event.Vm = &types.VmEventArgument{Vm: made.Self, EntityEventArgument: types.EntityEventArgument{Name: made.Name}}
	if datacenter := simulator.Map.All("Datacenter"); len(datacenter) > 0 {
		ref := datacenter[0].Reference()
		event.Datacenter = &types.DatacenterEventArgument{
			Datacenter: ref, EntityEventArgument: types.EntityEventArgument{Name: nameOf(ref)},
		}
	}
	_, err := methods.PostEvent(context.Background(), v.service, &types.PostEvent{
		This: *v.content.EventManager, EventToPost: event,
	})
	if err != nil {
		return vimFault(err)
	}
	return nil
}

// queryEvents answers what happened in one task's chain, or what the simulator knows, within the time asked for.
func (v *vcenter) queryEvents(request *types.QueryEvents) *answer {
	filter := request.Filter
	if filter.EventChainId != 0 {
		return respond(&types.QueryEventsResponse{Returnval: v.tasks.eventsOfChain(filter.EventChainId)})
	}
	if filter.Entity != nil && simulator.Map.Get(filter.Entity.Entity) == nil {
		return refuse(&types.ManagedObjectNotFound{Obj: filter.Entity.Entity}, "The object has already been deleted.")
	}
	v.inventory.Lock()
	defer v.inventory.Unlock()
	events, err := v.eventsOf(filter)
	if err != nil {
		return refuse(vimFault(err), "")
	}
	found := []types.BaseEvent{}
	for _, event := range events {
		if within(event.GetEvent().CreatedTime, filter.Time) {
			found = append(found, event)
		}
	}
	return respond(&types.QueryEventsResponse{Returnval: found})
}

func within(at time.Time, bounds *types.EventFilterSpecByTime) bool {
	if bounds == nil {
		return true
	}
	return (bounds.BeginTime == nil || !at.Before(*bounds.BeginTime)) &&
		(bounds.EndTime == nil || !at.After(*bounds.EndTime))
}
