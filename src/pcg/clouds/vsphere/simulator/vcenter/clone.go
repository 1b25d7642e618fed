package main

// Cloning, done anew: the simulator's clone drops CPU, memory and annotation of the specification and the settings of
// the source, gives the copy the source's MAC address, shares its devices with it, and accepts a name that is taken.

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func (v *vcenter) clone(user string, request *types.CloneVM_Task) *answer {
	source := machine(request.This)
	if source == nil {
		return nil
	}
	if simulator.Map.Get(request.Folder) == nil {
		return refuse(&types.ManagedObjectNotFound{Obj: request.Folder}, "")
	}
	reserved := ""
	task, chain := v.start(user, work{
		method: "CloneVM_Task", description: "VirtualMachine.clone", entity: request.This, target: request.Name,
		begin: func() types.BaseMethodFault {
			if taken := v.feed.reserve(request.Folder, request.Name); taken != nil {
				return &types.DuplicateName{Name: request.Name, Object: *taken}
			}
			reserved = request.Name
			return nil
		},
		finish: func() (types.AnyType, types.BaseMethodFault) { return v.makeClone(source, request) },
		end: func() {
			if reserved != "" {
				v.feed.unreserve(request.Folder, reserved)
			}
		},
	})
	v.tasks.mutex.Lock()
	v.tasks.events = append(v.tasks.events, beingCloned(user, chain, source, request))
	v.tasks.mutex.Unlock()
	return respond(&types.CloneVM_TaskResponse{Returnval: task})
}

// beingCloned is the event that ties a running clone task (which names only its source) to the name that it will make.
func beingCloned(
	user string, chain int32, source *simulator.VirtualMachine, request *types.CloneVM_Task,
) *types.VmBeingClonedEvent {
	event := &types.VmBeingClonedEvent{
		DestName: request.Name,
		DestFolder: types.FolderEventArgument{
			Folder: request.Folder, EntityEventArgument: types.EntityEventArgument{Name: nameOf(request.Folder)},
		},
	}
	event.Key, event.ChainId, event.CreatedTime, event.UserName = chain, chain, time.Now(), user
	event.Vm = &types.VmEventArgument{
		Vm: source.Self, EntityEventArgument: types.EntityEventArgument{Name: source.Name},
	}
	event.DestHost = types.HostEventArgument{Host: *source.Runtime.Host}
	return event
}

func (v *vcenter) makeClone(
	source *simulator.VirtualMachine, request *types.CloneVM_Task,
) (types.AnyType, types.BaseMethodFault) {
	pool := request.Spec.Location.Pool
	if pool == nil {
		pool = source.ResourcePool
	}
	if pool == nil {
		return nil, &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	config, fault := cloneConfig(source, request)
	if fault != nil {
		return nil, fault
	}
	if full := fullDatastore(source, request); full != nil {
		return nil, full
	}
	response, err := methods.CreateVM_Task(context.Background(), v.service, &types.CreateVM_Task{
		This: request.Folder, Config: *config, Pool: *pool, Host: request.Spec.Location.Host,
	})
	if err != nil {
		return nil, vimFault(err)
	}
	result, fault := v.outcome(response.Returnval, nil)
	if fault != nil {
		return nil, fault
	}
	made := machine(result.(types.ManagedObjectReference))
	created := time.Now()
	made.Config.CreateDate = &created
	announce(made)
	if fault := v.tellCloned(made, source); fault != nil {
		return nil, fault
	}
	if request.Spec.Template {
		_, err = methods.MarkAsTemplate(context.Background(), v.service, &types.MarkAsTemplate{This: made.Self})
	} else if request.Spec.PowerOn {
		_, err = methods.PowerOnVM_Task(context.Background(), v.service, &types.PowerOnVM_Task{This: made.Self})
	}
	if err != nil {
		return nil, vimFault(err)
	}
	return result, nil
}

// fullDatastore is the fault of a clone whose disks find no room by the time they are written.
func fullDatastore(source *simulator.VirtualMachine, request *types.CloneVM_Task) types.BaseMethodFault {
	ref := source.Datastore[0]
	if wanted := request.Spec.Location.Datastore; wanted != nil {
		ref = *wanted
	}
	datastore, ok := simulator.Map.Get(ref).(*simulator.Datastore)
	if !ok || datastore.Summary.FreeSpace > 0 {
		return nil
	}
	return &types.NoDiskSpace{
		FileFault: types.FileFault{File: fmt.Sprintf("[%s] %s", datastore.Name, request.Name)}, Datastore: datastore.Name,
	}
}

func cloneConfig(
	source *simulator.VirtualMachine, request *types.CloneVM_Task,
) (*types.VirtualMachineConfigSpec, types.BaseMethodFault) {
	hardware := source.Config.Hardware
	datastore := source.Datastore[0]
	if wanted := request.Spec.Location.Datastore; wanted != nil {
		datastore = *wanted
	}
	config := &types.VirtualMachineConfigSpec{
		Name:              request.Name,
		GuestId:           source.Config.GuestId,
		Annotation:        source.Config.Annotation,
		NumCPUs:           hardware.NumCPU,
		NumCoresPerSocket: hardware.NumCoresPerSocket,
		MemoryMB:          int64(hardware.MemoryMB),
		Files: &types.VirtualMachineFileInfo{
			VmPathName: fmt.Sprintf("[%s] %s", nameOf(datastore), request.Name),
		},
		// A copy carries the settings of its source: that is how a person's copy of our machine bears our marks.
		ExtraConfig: append([]types.BaseOptionValue{}, source.Config.ExtraConfig...),
	}
	changes := request.Spec.Location.DeviceChange
	if wanted := request.Spec.Config; wanted != nil {
		if wanted.NumCPUs != 0 {
			config.NumCPUs = wanted.NumCPUs
		}
		if wanted.NumCoresPerSocket != 0 {
			config.NumCoresPerSocket = wanted.NumCoresPerSocket
		}
		if wanted.MemoryMB != 0 {
			config.MemoryMB = wanted.MemoryMB
		}
		if wanted.Annotation != "" {
			config.Annotation = wanted.Annotation
		}
		config.InstanceUuid = wanted.InstanceUuid
		config.ExtraConfig = append(config.ExtraConfig, wanted.ExtraConfig...)
		changes = append(changes[:len(changes):len(changes)], wanted.DeviceChange...)
	}
	config.ExtraConfig = mergedSettings(config.ExtraConfig)
	devices, fault := cloneDevices(hardware.Device, changes)
	config.DeviceChange = devices
	return config, fault
}

// cloneDevices copies what the source has beyond the default devices, with the changes applied.
func cloneDevices(
	source []types.BaseVirtualDevice, changes []types.BaseVirtualDeviceConfigSpec,
) ([]types.BaseVirtualDeviceConfigSpec, types.BaseMethodFault) {
	var copied, changed types.ArrayOfVirtualDevice
	if err := copyOf(types.ArrayOfVirtualDevice{VirtualDevice: source}, &copied); err != nil {
		return nil, &types.SystemError{Reason: err.Error()}
	}
	for _, change := range changes {
		changed.VirtualDevice = append(changed.VirtualDevice, change.GetVirtualDeviceConfigSpec().Device)
	}
	defaults := object.VirtualDeviceList(esx.VirtualDevice)
	var result []types.BaseVirtualDeviceConfigSpec
	for _, device := range copied.VirtualDevice {
		if defaults.Find(object.VirtualDeviceList(copied.VirtualDevice).Name(device)) != nil {
			continue // every new machine has them
		}
		for i, change := range changes {
			spec := change.GetVirtualDeviceConfigSpec()
			if spec.Device.GetVirtualDevice().Key != device.GetVirtualDevice().Key {
				continue
			}
			switch spec.Operation {
			case types.VirtualDeviceConfigSpecOperationEdit:
				device = changed.VirtualDevice[i]
			case types.VirtualDeviceConfigSpecOperationRemove:
				device = nil
			}
			break
		}
		if device != nil {
			result = append(result, addition(device))
		}
	}
	for i, change := range changes {
		if change.GetVirtualDeviceConfigSpec().Operation == types.VirtualDeviceConfigSpecOperationAdd {
			result = append(result, addition(changed.VirtualDevice[i]))
		}
	}
	return result, nil
}

func addition(device types.BaseVirtualDevice) types.BaseVirtualDeviceConfigSpec {
	spec := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: device}
	if card, ok := device.(types.BaseVirtualEthernetCard); ok {
		card.GetVirtualEthernetCard().MacAddress = newMAC()
		device.GetVirtualDevice().DeviceInfo = nil // the simulator writes the new network's name into it
	}
	if disk, ok := device.(*types.VirtualDisk); ok {
		spec.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
		disk.DeviceInfo = nil
		disk.CapacityInBytes = disk.CapacityInKB * 1024
		if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			backing.FileName, backing.Parent, backing.Datastore = "", nil, nil // a new file in the clone's directory
		}
	}
	return spec
}

// newMAC is an address of VMware's own prefix for generated ones.
func newMAC() string {
	random := make([]byte, 3)
	_, _ = rand.Read(random)
	return fmt.Sprintf("00:50:56:%02x:%02x:%02x", 0x80|random[0]&0x3f, random[1], random[2])
}

// childNamed finds a child of a folder by its name.
func childNamed(folder types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	parent, ok := simulator.Map.Get(folder).(*simulator.Folder)
	if !ok {
		return nil
	}
	for _, child := range parent.ChildEntity {
		if entity, ok := simulator.Map.Get(child).(mo.Entity); ok && entity.Entity().Name == name {
			return &child
		}
	}
	return nil
}
