package main

// The data center that the gateway finds: dc-1 with cluster c-1, its root pool Resources, datastore ds-1, the networks
// "VM Network" and dvpg-1, a folder for our machines, a folder with one template, and some machines of other people.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

func (v *vcenter) buildInventory(datastore string, template string, strangers int) error {
	ctx := context.Background()
	model := simulator.VPX()
	model.Datacenter, model.Portgroup, model.Host, model.Cluster, model.Datastore, model.Machine = 0, 0, 0, 0, 0, 0
	if err := model.Create(); err != nil {
		return err
	}
	v.service = model.Service
	client, err := vim25.NewClient(ctx, v.service)
	if err != nil {
		return err
	}
	v.content = client.ServiceContent
	datacenter, err := object.NewRootFolder(client).CreateDatacenter(ctx, "dc-1")
	if err != nil {
		return err
	}
	folders, err := datacenter.Folders(ctx)
	if err != nil {
		return err
	}
	cluster, hosts, err := buildCluster(ctx, client, folders)
	if err != nil {
		return err
	}
	if err := buildStorage(ctx, datastore, hosts); err != nil {
		return err
	}
	if err := buildSwitch(ctx, client, folders.NetworkFolder, hosts); err != nil {
		return err
	}
	pool, err := cluster.ResourcePool(ctx)
	if err != nil {
		return err
	}
	if err := buildMachines(ctx, client, folders.VmFolder, pool, hosts[0], template, strangers); err != nil {
		return err
	}
	// Nobody asked for the tasks that built all this.
	manager := simulator.Map.Get(*v.content.TaskManager).(*simulator.TaskManager)
	simulator.Map.Update(manager, []types.PropertyChange{{Name: "recentTask", Val: []types.ManagedObjectReference{}}})
	return nil
}

func buildCluster(
	ctx context.Context, client *vim25.Client, folders *object.DatacenterFolders,
) (*object.ClusterComputeResource, []*object.HostSystem, error) {
	cluster, err := folders.HostFolder.CreateCluster(ctx, "c-1", types.ClusterConfigSpecEx{})
	if err != nil {
		return nil, nil, err
	}
	var hosts []*object.HostSystem
	for i := 1; i <= 2; i++ {
		task, err := cluster.AddHost(ctx, types.HostConnectSpec{HostName: fmt.Sprintf("esx-%d", i)}, true, nil, nil)
		if err != nil {
			return nil, nil, err
		}
		info, err := task.WaitForResult(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		hosts = append(hosts, object.NewHostSystem(client, info.Result.(types.ManagedObjectReference)))
	}
	return cluster, hosts, nil
}

func buildStorage(ctx context.Context, directory string, hosts []*object.HostSystem) error {
	// fcd is where vCenter keeps disks that have a life of their own (container volumes).
	if err := os.MkdirAll(filepath.Join(directory, "fcd"), 0o700); err != nil {
		return err
	}
	for _, host := range hosts {
		system, err := host.ConfigManager().DatastoreSystem(ctx)
		if err != nil {
			return err
		}
		if _, err := system.CreateLocalDatastore(ctx, "ds-1", directory); err != nil {
			return err
		}
	}
	return nil
}

func buildSwitch(ctx context.Context, client *vim25.Client, folder *object.Folder, hosts []*object.HostSystem) error {
	spec := types.DVSCreateSpec{ConfigSpec: &types.VMwareDVSConfigSpec{}}
	spec.ConfigSpec.GetDVSConfigSpec().Name = "dvs-1"
	task, err := folder.CreateDVS(ctx, spec)
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return err
	}
	dvs := object.NewDistributedVirtualSwitch(client, info.Result.(types.ManagedObjectReference))
	members := &types.DVSConfigSpec{}
	for _, host := range hosts {
		members.Host = append(members.Host, types.DistributedVirtualSwitchHostMemberConfigSpec{
			Operation: string(types.ConfigSpecOperationAdd), Host: host.Reference(),
		})
	}
	if task, err = dvs.Reconfigure(ctx, members); err != nil {
		return err
	}
	if err = task.Wait(ctx); err != nil {
		return err
	}
	if task, err = dvs.AddPortgroup(ctx, []types.DVPortgroupConfigSpec{{Name: "dvpg-1"}}); err != nil {
		return err
	}
	return task.Wait(ctx)
}

func buildMachines(
	ctx context.Context, client *vim25.Client, root *object.Folder, pool *object.ResourcePool, host *object.HostSystem,
	template string, strangers int,
) error {
	folders := make(map[string]*object.Folder)
	for _, name := range []string{"spectro-templates", "pcg", "others"} {
		folder, err := root.CreateFolder(ctx, name)
		if err != nil {
			return err
		}
		folders[name] = folder
	}
	made, err := buildMachine(ctx, client, folders["spectro-templates"], pool, host, template)
	if err != nil {
		return err
	}
	if err := made.MarkAsTemplate(ctx); err != nil {
		return err
	}
	for i := 1; i <= strangers; i++ {
		if _, err := buildMachine(ctx, client, folders["others"], pool, nil, fmt.Sprintf("stranger-%05d", i)); err != nil {
			return err
		}
	}
	return nil
}

func buildMachine(
	ctx context.Context, client *vim25.Client, folder *object.Folder, pool *object.ResourcePool, host *object.HostSystem,
	name string,
) (*object.VirtualMachine, error) {
	config := types.VirtualMachineConfigSpec{
		Name:     name,
		GuestId:  string(types.VirtualMachineGuestOsIdentifierUbuntu64Guest),
		NumCPUs:  2,
		MemoryMB: 2048,
		Files:    &types.VirtualMachineFileInfo{VmPathName: "[ds-1]"},
	}
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return nil, err
	}
	disk := devices.CreateDisk(scsi.(types.BaseVirtualController), types.ManagedObjectReference{}, "")
	disk.CapacityInKB = 20 * 1024 * 1024
	card, err := devices.CreateEthernetCard("vmxnet3", &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"},
	})
	if err != nil {
		return nil, err
	}
	card.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard().MacAddress = newMAC()
	devices = append(devices, scsi, disk, card)
	if config.DeviceChange, err = devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd); err != nil {
		return nil, err
	}
	task, err := folder.CreateVM(ctx, config, pool, host)
	if err != nil {
		return nil, err
	}
	info, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return nil, err
	}
	return object.NewVirtualMachine(client, info.Result.(types.ManagedObjectReference)), nil
}
