"""The two reference networks, in torchvision's terms."""
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def micro():
    """16-32-64, two basic blocks each."""
    net = ResNet(BasicBlock, [2, 2, 2, 1])
    net.inplanes = 16
    net.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
    net.bn1 = nn.BatchNorm2d(16)
    net.layer1 = net._make_layer(BasicBlock, 16, 2)
    net.layer2 = net._make_layer(BasicBlock, 32, 2, stride=2)
    net.layer3 = net._make_layer(BasicBlock, 64, 2, stride=2)
    net.layer4 = nn.Identity()
    net.fc = nn.Linear(64, 128, bias=False)
    net.maxpool = nn.Identity()
    return net


def resnet18():
    net = ResNet(BasicBlock, [2, 2, 2, 2])
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.fc = nn.Linear(512, 128, bias=False)
    net.maxpool = nn.Identity()
    return net
