"""The three reference networks, in torchvision's terms, and in timm's."""
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
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


class Block(nn.Module):
    """timm's block, with PyTorch's fused attention."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.mlp(self.norm2(x))


class vit(nn.Module):
    """192 wide, 6 blocks of 3 heads, patches of 4 of 32 px, mean pooling."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 192, 4, 4)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 64, 192))
        self.blocks = nn.Sequential(*[Block(192, 3) for _ in range(6)])
        self.norm = nn.LayerNorm(192, 1e-6)
        self.fc = nn.Linear(192, 128, bias=False)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        return self.fc(self.norm(self.blocks(x)).mean(1))
